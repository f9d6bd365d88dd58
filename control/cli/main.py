"""`wherry`: finds the subcommand, lets it read its arguments, runs it, and says what went wrong in one line.

Each subcommand is a module with `configure(parser)` and `run(arguments) -> exit status`. It is imported only
when it is asked for, after gevent has patched the standard library if the command is a service.

Invariant: a `CommandError` ends with exit status 1 and one sentence on stderr, never a traceback.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from dataclasses import dataclass

from control.cli.errors import CommandError


@dataclass(frozen=True, slots=True)
class Command:
    """Where a subcommand lives; `service` commands run for long and use gevent. Where several share a module, `suffix`
    ends the names of their functions."""

    module: str
    help: str
    service: bool = False
    suffix: str = ""


COMMANDS: dict[str, Command] = {
    "lab": Command("control.cli.lab.command", "lab hosts on this machine: up, down, status, ssh"),
    "up": Command("control.cli.up", "provision a cluster on the hosts of an inventory"),
    "add-node": Command("control.cli.membership", "make further hosts of the inventory nodes of the cluster"),
    "remove-node": Command("control.cli.membership", "drain nodes and take them off the cluster"),
    "upgrade": Command("control.cli.upgrade", "bring this version of Wherry to a running cluster"),
    "reset": Command("control.cli.reset", "remove the cluster from the hosts of an inventory"),
    "ssh": Command("control.cli.hosts", "a shell on a host of the inventory, or one command there"),
    "logs": Command("control.cli.hosts", "what a component of Wherry logs on a host"),
    "certs": Command("control.cli.certs", "the certificates of the cluster: status, rotate"),
    "nodes": Command("control.cli.nodes", "nodes: cordon, drain, uncordon, wait, delete"),
    "playbook": Command("playbooks.command", "run a playbook against an inventory"),
    "inventory": Command("control.cli.inventory", "show what an inventory says"),
    "image": Command("control.cli.image", "build container images from files and put them on the nodes"),
    "bundle": Command("control.cli.bundle", "pack Wherry and its dependencies for the nodes"),
    "trace": Command("control.cli.trace", "the way of a packet from a pod, hop by hop, and what breaks it"),
    "token": Command("control.cli.token", "bootstrap tokens: create, list, revoke"),
    "backup": Command("control.cli.store", "write a verified copy of the cluster's state", suffix="_backup"),
    "restore": Command("control.cli.store", "put a copy of the cluster's state back", suffix="_restore"),
    "store": Command("control.cli.store", "look at the store, or move it to another engine"),
    "pki": Command("control.cli.pki", "the cluster's authority and certificates"),
    "server": Command("control.cli.server", "the whole control plane on this machine", service=True),
    "node": Command("control.cli.node", "the agents of one node on this machine", service=True),
    "hollow": Command("control.cli.hollow", "many hollow nodes in one process", service=True),
    "kvstore": Command("control.kvstore.command", "the key-value store service", service=True),
    "apiserver": Command("control.apiserver.command", "the API server", service=True),
    "scheduler": Command("control.scheduler.command", "the scheduler", service=True),
    "controller-manager": Command("control.controllers.command", "the controllers", service=True),
    "cloud-controller-manager": Command("control.cloud.command", "the cloud controller", service=True),
    "kubelet": Command("agents.kubelet.command", "the agent that makes the node's pods so", service=True),
    "proxy": Command("agents.proxy.command", "the agent that programs services and the pod network", service=True),
}


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    given = sys.argv[1:] if arguments is None else arguments
    name = next((word for word in given if not word.startswith("-")), "")
    command = COMMANDS.get(name)
    if command is not None and command.service:
        import gevent.monkey

        gevent.monkey.patch_all()
    parser = _parser(name)
    parsed = parser.parse_args(given)
    if not hasattr(parsed, "run"):
        parser.print_help()
        return 2
    try:
        status: int = parsed.run(parsed)
    except CommandError as error:
        print(f"wherry {name}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"wherry {name}: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        return 141
    return status


def _parser(chosen: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="wherry", description="One small cluster from bare machines.")
    subparsers = parser.add_subparsers(metavar="COMMAND")
    for name, command in COMMANDS.items():
        subparser = subparsers.add_parser(name, help=command.help, description=command.help)
        if name == chosen:
            module = importlib.import_module(command.module)
            subparser.set_defaults(run=getattr(module, f"run{command.suffix}"), command=name)
            getattr(module, f"configure{command.suffix}")(subparser)
    return parser


if __name__ == "__main__":
    sys.exit(main())
