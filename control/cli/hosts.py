"""`wherry ssh` and `wherry logs`: to the hosts of an inventory, by the connection that the inventory describes.

Invariant: OpenSSH's own client does it, with the key, port, user and options that provisioning uses.
"""

from __future__ import annotations

import argparse
import getpass
import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from control.cli import provision
from control.cli.errors import CommandError
from inventory import sources
from inventory.errors import InventoryError
from playbooks import command

COMPONENTS = (
    "kvstore", "apiserver", "controller-manager", "scheduler", "cloud-controller-manager", "kubelet", "proxy",
)  # fmt: skip


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of both commands."""
    provision.add_inventory(parser, required=False)
    command.add_access(parser)
    parser.add_argument("node", help="a host of the inventory")
    if parser.get_default("command") == "ssh":
        parser.add_argument("words", nargs=argparse.REMAINDER, metavar="COMMAND", help="run this instead of a shell")
        return
    parser.add_argument("component", choices=COMPONENTS, metavar="COMPONENT", help=", ".join(COMPONENTS))
    parser.add_argument("-f", "--follow", action="store_true", help="go on as new lines come")
    parser.add_argument("-n", "--lines", type=int, default=100, help="how many lines back (%(default)s)")
    parser.add_argument("--since", help="only newer than this, as journalctl reads it: '10 min ago'")


def run(arguments: argparse.Namespace) -> int:
    """Become OpenSSH's client. Raises CommandError."""
    if arguments.command == "ssh":
        _take_inventory(arguments)
    if not arguments.inventory:
        raise CommandError("which inventory? give it with -i; an inventory.yml here would be taken")
    variables = _variables(arguments.inventory, arguments.node, provision.access_of(arguments))
    if arguments.command == "ssh":
        words = client(arguments.node, variables, arguments.words)
    else:
        words = client(arguments.node, variables, journal(arguments), terminal=arguments.follow)
    try:
        os.execvp(words[0], words)
    except FileNotFoundError as error:
        raise CommandError("there is no ssh on this machine; install the package openssh-client") from error


def _take_inventory(arguments: argparse.Namespace) -> None:
    """What stands after the node is for the host, but an inventory: `wherry ssh NODE -i INVENTORY`."""
    given = []
    while arguments.words[:1] in (["-i"], ["--inventory"]) and len(arguments.words) > 1:
        given.append(arguments.words[1])
        arguments.words = arguments.words[2:]
    if arguments.words[:1] == ["--"]:
        # Ends the options, as with OpenSSH's client.
        arguments.words = arguments.words[1:]
    arguments.inventory = given or arguments.inventory


def client(host: str, variables: dict[str, Any], words: Sequence[str] = (), *, terminal: bool = False) -> list[str]:
    """The command line of OpenSSH's client for a host with these variables."""

    def said(*names: str) -> Any:
        return next((variables[name] for name in names if variables.get(name) not in (None, "")), None)

    address = str(said("ansible_host", "ansible_ssh_host") or host)
    user = str(said("ansible_user", "ansible_ssh_user") or getpass.getuser())
    command = ["ssh", "-l", user]
    if port := said("ansible_port", "ansible_ssh_port"):
        command += ["-p", str(port)]
    if key := said("ansible_ssh_private_key_file", "ansible_private_key_file"):
        command += ["-i", str(Path(str(key)).expanduser())]
    for name in ("ansible_ssh_common_args", "ansible_ssh_extra_args"):
        command += shlex.split(str(variables.get(name) or ""))
    if terminal:
        command.append("-t")
    return [*command, address, *(["--", shlex.join(words) if len(words) > 1 else words[0]] if words else [])]


def journal(arguments: argparse.Namespace) -> list[str]:
    """The command that shows a component's log on its host, or says that there is none of it."""
    unit = f"wherry-{arguments.component}"
    words = ["journalctl", "--no-pager", "--output", "cat", f"--unit={unit}", f"--lines={arguments.lines}"]
    if arguments.since:
        words.append(f"--since={arguments.since}")
    if arguments.follow:
        words.append("--follow")
    absent = (
        f"wherry logs: {arguments.node}: no {arguments.component} runs there, for it has no unit {unit}; "
        f"`wherry ssh {arguments.node} systemctl list-units 'wherry-*'` shows what does"
    )
    said = f"{{ echo {shlex.quote(absent)} >&2; exit 1; }}"
    return ["sudo", "-n", "sh", "-c", f"systemctl cat {unit} >/dev/null 2>&1 || {said}; exec {shlex.join(words)}"]


def _variables(inventories: Sequence[str], node: str, access: Mapping[str, Any]) -> dict[str, Any]:
    """What the inventory says of a node, and where it says nothing, the command line and the configuration."""
    try:
        loaded = sources.load(inventories, access["vault_secrets"])
    except InventoryError as error:
        raise CommandError(str(error)) from error
    if node not in loaded.hosts:
        raise CommandError(f"{', '.join(inventories)}: no host {node!r}; it has {', '.join(loaded.hosts)}")
    said = {"ansible_user": access["remote_user"], "ansible_ssh_private_key_file": access["private_key"]}
    return {**said, **access["variables"], **loaded.host_variables(node)}
