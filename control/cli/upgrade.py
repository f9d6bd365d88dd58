"""`wherry upgrade`: this version of Wherry onto a running cluster, by `playbooks/upgrade.yml`.

Invariant: one worker at a time, each drained within the disruption budgets and Ready before the next; the first
failure stops everything, and the same command goes on from there.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from api import kubeconfig
from api.kubeconfig import KubeconfigError
from api.runtime import SystemRuntime
from control.cli import provision, up
from control.cli.errors import CommandError
from control.cli.waiting import await_condition


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of `wherry upgrade`."""
    provision.add_arguments(parser)
    parser.add_argument("--kubeconfig", type=Path, help="the administrator's kubeconfig (beside the inventory)")
    parser.add_argument("--drain-timeout", default="300s", help="how long a node's pods may take to go (%(default)s)")
    parser.add_argument("--force", action="store_true", help="evict pods that no controller makes anew, too")


def run(arguments: argparse.Namespace) -> int:
    """Run `wherry upgrade`."""
    wanted = provision.Run.of(arguments)
    workers = provision.hosts(arguments.inventory, wanted.limit, wanted.secrets).workers
    variables = up.prepare(print) | {"drain_timeout": arguments.drain_timeout, "drain_force": arguments.force}
    changed = provision.play("upgrade.yml", arguments.inventory, variables, wanted)
    if not arguments.check:
        try:
            client = kubeconfig.client(arguments.kubeconfig or up.beside(arguments.inventory[0]), "wherry-upgrade")
        except KubeconfigError as error:
            raise CommandError(f"{error}; name the cluster's with --kubeconfig") from error
        await_condition(SystemRuntime(), up.READY_WITHIN_SECONDS, lambda: up.unready(client, workers))
    count = len(workers)
    run_it = "1 node runs this version" if count == 1 else f"{count} nodes run this version"
    print(run_it + ("" if changed else "; nothing had to be changed"))
    return 0
