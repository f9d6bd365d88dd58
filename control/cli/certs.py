"""`wherry certs status|rotate`: the certificates on all hosts of an inventory.

Invariant: rotating replaces every certificate but those of the authorities; who trusts the authority trusts on.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from typing import Any

from api.runtime import SystemRuntime, timestamp
from control.cli import provision, up
from control.cli.errors import CommandError
from playbooks.engine import run_playbook
from playbooks.engine.display.events import Display, Finished
from playbooks.engine.result import Options
from playbooks.errors import PlaybookError

_DAY = 86400.0


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of `wherry certs`."""
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    status = verbs.add_parser("status", help="whose certificates end when, host by host")
    rotate = verbs.add_parser("rotate", help="replace all certificates while everything runs")
    for verb in (status, rotate):
        provision.add_arguments(verb)
    status.add_argument("--json", action="store_true", help="JSON instead of a table")
    rotate.add_argument("--lifetime", help="how long the control plane's new ones are good, e.g. 365d")


def run(arguments: argparse.Namespace) -> int:
    """Run `wherry certs`."""
    if arguments.verb == "status":
        found = _status(arguments)
        print(json.dumps(found, indent=1) if arguments.json else "\n".join(table(found, SystemRuntime().time())))
        return 0
    wanted = provision.Run.of(arguments)
    provision.hosts(arguments.inventory, wanted.limit, wanted.secrets)
    variables = up.prepare(print)
    if arguments.lifetime:
        variables["control_certificate_lifetime"] = arguments.lifetime
    target = up.beside(arguments.inventory[0])
    up.with_kubeconfig(arguments.inventory, target, "certs.yml", variables, wanted)
    print(f"all certificates are new; so is {target}")
    return 0


def table(found: Mapping[str, list[dict[str, Any]]], now: float) -> list[str]:
    """A line for each certificate, those that end first on top."""
    rows = [(entry["ends"], host, entry) for host, entries in found.items() for entry in entries]
    lines = [f"{'HOST':<12} {'ENDS':<21} {'LEFT':>8}  {'FILE':<55} SUBJECT"]
    for ends, host, entry in sorted(rows, key=lambda row: (row[0], row[1], row[2]["file"])):
        lines.append(f"{host:<12} {timestamp(ends):<21} {_left(ends - now):>8}  {entry['file']:<55} {entry['subject']}")
    return lines


def _left(seconds: float) -> str:
    if seconds <= 0:
        return "ended"
    return f"{seconds / _DAY:.0f} d" if seconds >= 2 * _DAY else f"{seconds / 3600:.1f} h"


class _Answers(Display):
    """What each host answered."""

    def __init__(self) -> None:
        self.found: dict[str, list[dict[str, Any]]] = {}

    def task_finished(self, finished: Finished) -> None:
        """Keep an answer."""
        if finished.result.get("stdout"):
            self.found[finished.host] = json.loads(finished.result["stdout"])


def _status(arguments: argparse.Namespace) -> dict[str, list[dict[str, Any]]]:
    answers = _Answers()
    options = Options(**provision.access_of(arguments), limit=arguments.limit or None, forks=arguments.forks)
    try:
        result = run_playbook(provision.PLAYBOOKS / "certs-status.yml", arguments.inventory, options, answers)
    except PlaybookError as error:
        raise CommandError(str(error)) from error
    if result.failures:
        raise CommandError(str(result.failures[0]))
    return answers.found
