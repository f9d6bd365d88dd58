"""`wherry inventory --list|--graph|--host H -i INVENTORY`: shows what ansible-inventory shows.

Invariant: one sentence on standard error and status 1 for an inventory that cannot be read.
Source: Ansible, command ansible-inventory.
"""

from __future__ import annotations

import argparse
import datetime
import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from inventory import patterns, vault
from inventory.errors import InventoryError
from inventory.model import Inventory
from inventory.sources import load
from inventory.variables import read_directory


def configure(parser: argparse.ArgumentParser) -> None:
    """The options of ansible-inventory, under its names."""
    parser.add_argument("pattern", nargs="?", help="with --graph: the group to begin at")
    parser.add_argument("-i", "--inventory", action="append", default=[], help="a file, directory or program")
    parser.add_argument("--list", action="store_true", help="everything as JSON")
    parser.add_argument("--graph", action="store_true", help="groups and hosts as a tree")
    parser.add_argument("--host", help="the variables of one host as JSON")
    parser.add_argument("--hosts", help="the hosts that a pattern names, one a line")
    parser.add_argument("--vars", action="store_true", help="with --graph: variables too")
    parser.add_argument("--export", action="store_true", help="with --list: variables where they were defined")
    parser.add_argument("-y", "--yaml", action="store_true", help="YAML instead of JSON")
    parser.add_argument("-l", "--limit", help="only these hosts")
    parser.add_argument("--playbook-dir", default=".", help="read group_vars and host_vars there, too (here)")
    word: dict[str, Any] = {"dest": "vault_password_file", "action": "append", "default": []}
    parser.add_argument("--vault-password-file", "--vault-pass-file", help="a file or program with a password", **word)
    parser.add_argument("--vault-id", metavar="LABEL@FILE", help="the same, with a label", **word)


def run(arguments: argparse.Namespace) -> int:
    """Print what was asked for."""
    try:
        secrets = [vault.secret(name) for name in arguments.vault_password_file]
        inventory = load(arguments.inventory or ["/etc/ansible/hosts"], secrets)
        beside = [read_directory(Path(arguments.playbook_dir), secrets)]
        for warning in inventory.warnings:
            print(f"wherry inventory: {warning}", file=sys.stderr)
        print(_text(arguments, inventory, beside), flush=True)
    except BrokenPipeError:
        # Whoever reads has seen enough, which is no fault of the inventory; the command line ends by it.
        raise
    except (InventoryError, OSError) as error:
        print(f"wherry inventory: {error}", file=sys.stderr)
        return 1
    return 0


def _text(arguments: argparse.Namespace, inventory: Inventory, beside: Iterable[Any]) -> str:
    if arguments.graph:
        start = arguments.pattern or "all"
        if start not in inventory.groups:
            raise InventoryError(f"--graph begins at a group, and {start!r} is none")
        return "\n".join(graph(inventory, start, arguments.vars, beside))
    if arguments.hosts:
        return "\n".join(patterns.match(inventory, arguments.hosts))
    if arguments.host:
        if arguments.host not in inventory.hosts:
            raise InventoryError(f"the inventory has no host {arguments.host!r}")
        return _dump(inventory.host_variables(arguments.host, beside), arguments.yaml)
    chosen = patterns.match(inventory, arguments.limit) if arguments.limit else None
    if arguments.yaml:
        return _dump(nested(inventory, beside, chosen, export=arguments.export), as_yaml=True)
    return _dump(listing(inventory, beside, chosen, export=arguments.export), as_yaml=False)


def _dump(value: Any, as_yaml: bool) -> str:
    if as_yaml:
        import yaml

        class Plain(yaml.SafeDumper):
            """Says a value again instead of pointing at where it was said first."""

            def ignore_aliases(self, data: object) -> bool:
                """Always."""
                return True

        return str(yaml.dump(_plain(value), Dumper=Plain, default_flow_style=False, allow_unicode=True)).rstrip()
    return json.dumps(value, indent=4, sort_keys=True, default=_text_of)


def _text_of(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime.date) else str(value)


def _plain(value: Any) -> Any:
    """The value in types that YAML has, dates among them; no two places share one."""
    if isinstance(value, Mapping):
        return {_plain(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value if value is None or isinstance(value, bool | int | float | datetime.date) else str(value)


def listing(
    inventory: Inventory, beside: Iterable[Any] = (), only: Iterable[str] | None = None, *, export: bool = False
) -> dict[str, dict[str, Any]]:
    """The JSON of `--list`: each group's hosts and children, and every host's variables under `_meta`.

    With `export`, variables stand where they were said: a group's with the group, a host's own with the host.
    """
    chosen = set(inventory.hosts_of("all") if only is None else only)
    said = inventory.own_variables if export else inventory.host_variables
    variables = {host: said(host, beside) for host in inventory.hosts_of("all") if host in chosen}
    meta = {"hostvars": {host: own for host, own in variables.items() if own}, "profile": "inventory_legacy"}
    listed: dict[str, dict[str, Any]] = {"_meta": meta}
    for group in inventory.descendants("all"):
        found: dict[str, Any] = {}
        hosts = [host for host in inventory.groups[group].hosts if host in chosen]
        if hosts and group != "all":
            found["hosts"] = hosts
        if inventory.groups[group].children:
            found["children"] = list(inventory.groups[group].children)
        if export and (own := inventory.group_variables(group, beside)):
            found["vars"] = own
        if found:
            listed[group] = found
    return listed


def nested(
    inventory: Inventory, beside: Iterable[Any] = (), only: Iterable[str] | None = None, *, export: bool = False
) -> dict[str, Any]:
    """The YAML of `--list`: an inventory again, each host's variables where it is met first."""
    chosen = set(inventory.hosts_of("all") if only is None else only)
    said = inventory.own_variables if export else inventory.host_variables
    met: set[str] = set()

    def group(name: str) -> dict[str, Any]:
        children: dict[str, Any] = {}
        for child in inventory.groups[name].children:
            found = {} if child in met else group(child)
            if child in met or found:
                children[child] = found
            met.add(child)
        hosts = {}
        for host in inventory.groups[name].hosts if name != "all" else ():
            if host in chosen:
                hosts[host] = {} if f"host {host}" in met else dict(said(host, beside))
                met.add(f"host {host}")
        own = inventory.group_variables(name, beside) if export else {}
        parts = {"children": children, "hosts": hosts, "vars": dict(own)}
        return {part: value for part, value in parts.items() if value}

    return {"all": group("all")}


def graph(inventory: Inventory, start: str, with_variables: bool = False, beside: Iterable[Any] = ()) -> Iterator[str]:
    """The lines of `--graph`."""
    yield f"@{start}:"
    yield from _below(inventory, start, 1, with_variables, tuple(beside))


def _below(inventory: Inventory, name: str, depth: int, variables: bool, beside: tuple[Any, ...]) -> Iterator[str]:
    group = inventory.groups[name]
    indent = "  |" * depth
    for child in group.children:
        yield f"{indent}--@{child}:"
        yield from _below(inventory, child, depth + 1, variables, beside)
    for host in group.hosts if name != "all" else ():
        yield f"{indent}--{host}"
        if variables:
            for key, value in sorted(inventory.host_variables(host, beside).items()):
                yield f"{indent}  |--{{{key} = {value}}}"
    if variables:
        for key, value in sorted(inventory.group_variables(name, beside).items()):
            yield f"{indent}--{{{key} = {value}}}"
