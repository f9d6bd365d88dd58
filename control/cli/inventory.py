"""`wherry inventory` with what an ansible.cfg says: which sources count without `-i`, and what opens their vaults.

`inventory.command` shows them; it knows no configuration, as the package `inventory` needs nothing of Wherry.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from control.cli import provision
from control.cli.errors import CommandError
from inventory import command
from playbooks import configuration
from playbooks.errors import PlaybookError

configure = command.configure


def run(arguments: argparse.Namespace) -> int:
    """Print what was asked for. Raises CommandError for an ansible.cfg that cannot be read."""
    arguments.inventory = arguments.inventory or provision.usual_sources()
    try:
        configured = configuration.load(os.environ, Path.cwd())
    except PlaybookError as error:
        raise CommandError(str(error)) from error
    arguments.vault_password_file = arguments.vault_password_file or list(configured.vault_passwords)
    return command.run(arguments)
