"""Runs the cluster's own playbooks: what `wherry up`, `wherry reset` and `wherry image load` have in common.

Invariant: a run that does not reach its end raises `CommandError`, whose sentence names host, task, why and where.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from control.cli.errors import CommandError
from inventory import patterns, sources
from inventory.errors import InventoryError
from inventory.model import Inventory
from playbooks import command, configuration
from playbooks.engine import run_playbook
from playbooks.engine.display.lines import Lines
from playbooks.engine.result import Options, Result
from playbooks.errors import PlaybookError

PLAYBOOKS = Path(__file__).resolve().parents[2] / "playbooks"


@dataclass(frozen=True, slots=True)
class Run:
    """How to run: on which hosts, how many at a time, and whether only to say what would change."""

    limit: str = ""
    forks: int = 20
    check: bool = False
    diff: bool = False
    verbosity: int = 0
    variables: Mapping[str, Any] = field(default_factory=dict)
    # How hosts are reached and what opens vaults, as words of the engine's Options.
    access: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, arguments: argparse.Namespace) -> Run:
        """From the command line, and an ansible.cfg. Raises CommandError."""
        variables = variables_of(arguments.extra_vars)
        words = (arguments.limit, arguments.forks, arguments.check, arguments.diff, arguments.verbose, variables)
        return cls(*words, access_of(arguments))

    @property
    def secrets(self) -> Sequence[bytes]:
        """What opens the vaults of the inventory."""
        return tuple(self.access.get("vault_secrets", ()))


@dataclass(frozen=True, slots=True)
class Hosts:
    """What a cluster's inventory says: the addresses, seen from here, of the API server and of each worker."""

    api_address: str
    worker_addresses: Mapping[str, str]

    @property
    def workers(self) -> tuple[str, ...]:
        """The workers' names."""
        return tuple(self.worker_addresses)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options that all of these commands share, named as ansible-playbook's."""
    add_inventory(parser)
    parser.add_argument("-l", "--limit", default="", help="only these hosts")
    parser.add_argument("-e", "--extra-vars", action="append", default=[], metavar="NAME=VALUE", help="override these")
    parser.add_argument("-f", "--forks", type=int, default=20, help="hosts at a time (%(default)s)")
    parser.add_argument("-C", "--check", action="store_true", help="change nothing, say what would change")
    parser.add_argument("-D", "--diff", action="store_true", help="show how files differ")
    parser.add_argument("-v", "--verbose", action="count", default=0)
    command.add_access(parser)


class _Sources(argparse.Action):
    """Inventories that are given take the place of those that would be taken."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: str | None = None) -> None:
        """Keep one more."""
        given = getattr(namespace, self.dest)
        setattr(namespace, self.dest, [values] if given is self.default else [*given, values])


def add_inventory(parser: argparse.ArgumentParser, *, required: bool = True) -> None:
    """`-i`: needed where neither an ansible.cfg nor a file `inventory.yml` here says which inventory it is."""
    known = usual_sources()
    about = "inventory file or directory" + (f" ({', '.join(known)})" if known else "")
    parser.add_argument(
        "-i", "--inventory", action=_Sources, default=known, required=required and not known, help=about
    )


def usual_sources() -> list[str]:
    """The inventory of an ansible.cfg, or a file `inventory.yml` here."""
    try:
        configured = configuration.load(os.environ, Path.cwd()).inventory
    except PlaybookError:
        # Whoever uses the configuration says what is wrong with it.
        configured = ()
    return list(configured) or [name for name in ("inventory.yml",) if Path(name).is_file()]


def access_of(arguments: argparse.Namespace) -> dict[str, Any]:
    """How hosts are reached, from the command line and an ansible.cfg. Raises CommandError."""
    try:
        return command.access_of(arguments, configuration.load(os.environ, Path.cwd()))
    except PlaybookError as error:
        raise CommandError(str(error)) from error


def variables_of(texts: Sequence[str]) -> dict[str, Any]:
    """The variables of NAME=VALUE texts, values read as YAML. Raises CommandError."""
    variables = {}
    for text in texts:
        name, separator, value = text.partition("=")
        if not separator or not name.isidentifier():
            raise CommandError(f"--extra-vars {text!r} is not of the form NAME=VALUE")
        try:
            variables[name] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise CommandError(f"--extra-vars {text!r}: the value is not YAML: {error}") from error
    return variables


def hosts(inventories: Sequence[str], limit: str = "", secrets: Sequence[bytes] = ()) -> Hosts:
    """The hosts of a cluster's inventory. Raises CommandError if it lacks a control host."""
    try:
        loaded = sources.load(inventories, secrets)
        control = patterns.match(loaded, "control") if "control" in loaded.groups else []
        workers = patterns.match(loaded, "workers") if "workers" in loaded.groups else []
        limited = patterns.match(loaded, limit) if limit else None
    except InventoryError as error:
        raise CommandError(str(error)) from error
    if not control:
        raise CommandError(f"{', '.join(map(str, inventories))}: no host is in group `control`; put one there")
    chosen = [name for name in workers if limited is None or name in limited]
    return Hosts(_address(loaded, control[0]), {name: _address(loaded, name) for name in chosen})


def _address(loaded: Inventory, host: str) -> str:
    variables = loaded.host_variables(host)
    named = (variables[name] for name in ("api_address", "node_address", "ansible_host") if variables.get(name))
    return str(next(named, host))


def play(playbook: str, inventories: Sequence[str], variables: Mapping[str, Any], run: Run) -> int:
    """Run one of Wherry's playbooks; returns how many tasks changed something. Raises CommandError."""
    options = Options(
        **run.access,
        check=run.check,
        diff=run.diff,
        limit=run.limit or None,
        forks=run.forks,
        verbosity=run.verbosity,
        extra_variables={**variables, **run.variables},
    )
    try:
        result = run_playbook(PLAYBOOKS / playbook, inventories, options, Lines(verbosity=run.verbosity))
    except (PlaybookError, InventoryError) as error:
        raise CommandError(str(error)) from error
    if result.interrupted:
        raise KeyboardInterrupt
    if result.failures:
        raise CommandError(_explain(result))
    return result.changed


def _explain(result: Result) -> str:
    first, *others = result.failures
    more = f" (and {len(others)} more: see above)" if others else ""
    return f"{first}{more}; mend that and run the same command again: it goes on where this one stopped"
