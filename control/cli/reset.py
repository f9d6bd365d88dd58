"""`wherry reset`: takes the cluster off the hosts of an inventory, by `playbooks/reset.yml`.

Invariant: it asks before it destroys, unless `--yes` says that somebody has answered already.
"""

from __future__ import annotations

import argparse
import sys

from control.cli import provision
from control.cli.errors import CommandError


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of `wherry reset`."""
    provision.add_arguments(parser)
    parser.add_argument("--images", action="store_true", help="remove the container images too")
    parser.add_argument("-y", "--yes", action="store_true", help="do not ask")


def run(arguments: argparse.Namespace) -> int:
    """Run `wherry reset`."""
    if not (arguments.yes or arguments.check):
        _ask(", ".join(arguments.inventory))
    variables = {"reset_images": arguments.images}
    changed = provision.play("reset.yml", arguments.inventory, variables, provision.Run.of(arguments))
    print("the cluster is gone" if changed else "there was nothing to remove")
    return 0


def _ask(inventories: str) -> None:
    if not sys.stdin.isatty():
        raise CommandError(f"this destroys the cluster on the hosts of {inventories}; say --yes if that is meant")
    if input(f"This destroys the cluster on the hosts of {inventories}, with all its data. Go on? [y/N] ") != "y":
        raise CommandError("nothing was removed")
