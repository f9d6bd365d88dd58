"""`wherry add-node` and `wherry remove-node`: the workers of a running cluster, by the playbooks of these names.

Invariant: a host is added only if the inventory has it among its workers, so that the inventory stays the truth.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from api import kubeconfig
from api.kubeconfig import KubeconfigError
from api.runtime import SystemRuntime
from control.cli import provision, up
from control.cli.errors import CommandError
from control.cli.waiting import await_condition


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of both commands."""
    provision.add_arguments(parser)
    parser.add_argument("nodes", nargs="+", metavar="NODE", help="hosts of the inventory's group `workers`")
    parser.add_argument("--kubeconfig", type=Path, help="the administrator's kubeconfig (beside the inventory)")
    if parser.get_default("command") == "remove-node":
        parser.add_argument("--lost", action="store_true", help="the hosts are gone for good: ask nothing of them")
        parser.add_argument("--drain-timeout", default="300s", help="how long pods may take to go (%(default)s)")


def run(arguments: argparse.Namespace) -> int:
    """Run the command that was named."""
    wanted = provision.Run.of(arguments)
    check(arguments.inventory, arguments.nodes, wanted.secrets)
    return _add(arguments, wanted) if arguments.command == "add-node" else _remove(arguments, wanted)


def check(inventories: Sequence[str], nodes: Sequence[str], secrets: Sequence[bytes] = ()) -> None:
    """Refuse hosts that are not workers of the inventory. Raises CommandError."""
    workers = provision.hosts(inventories, secrets=secrets).workers
    strangers = [name for name in nodes if name not in workers]
    if strangers:
        raise CommandError(
            f"{', '.join(strangers)}: not in group `workers` of {', '.join(inventories)}, which has "
            f"{', '.join(workers) or 'no hosts'}; put the host there first"
        )


def _add(arguments: argparse.Namespace, wanted: provision.Run) -> int:
    variables = up.prepare(print) | {"nodes": ",".join(arguments.nodes)}
    changed = provision.play("add-node.yml", arguments.inventory, variables, wanted)
    if not arguments.check:
        path = arguments.kubeconfig or up.beside(arguments.inventory[0])
        try:
            client = kubeconfig.client(path, "wherry-add-node")
        except KubeconfigError as error:
            raise CommandError(f"{error}; name the cluster's with --kubeconfig") from error
        await_condition(SystemRuntime(), up.READY_WITHIN_SECONDS, lambda: up.unready(client, arguments.nodes))
    print(f"{_nodes(arguments.nodes)} Ready" + ("" if changed else "; nothing had to be changed"))
    return 0


def _remove(arguments: argparse.Namespace, wanted: provision.Run) -> int:
    variables = {
        "nodes": ",".join(arguments.nodes),
        "nodes_lost": arguments.lost,
        "drain_timeout": arguments.drain_timeout,
    }
    provision.play("remove-node.yml", arguments.inventory, variables, wanted)
    print(f"{_nodes(arguments.nodes)} off the cluster; take the host out of the inventory, too")
    return 0


def _nodes(names: Sequence[str]) -> str:
    return f"node {names[0]} is" if len(names) == 1 else f"nodes {', '.join(names)} are"
