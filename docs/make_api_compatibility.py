"""Writes docs/api-compatibility.md: what is served, from the registry, and which behaviours are kept, from a list.

Invariant: each behaviour that is said to work names the test that shows it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import yaml

from api import protobuf, validation
from api.registry import Entry, api_level, registry
from control.apiserver import conversion, printing
from control.apiserver.cached import METADATA_FIELDS, selectable

LIST = Path(__file__).parent / "api-behaviours.yaml"
TARGET = Path(__file__).parent / "api-compatibility.md"
ALL_VERBS = {"create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"}

MISSING = "missing"


class Behaviour(NamedTuple):
    """What clients rely on; `note` says what differs from the original or is missing."""

    what: str
    state: str
    shown_by: str = ""
    note: str = ""


def behaviours() -> dict[str, list[Behaviour]]:
    """The behaviours of each area, from the list next to this script."""
    listed = yaml.safe_load(LIST.read_text())
    return {area: [Behaviour(**one) for one in found] for area, found in listed.items()}


def render() -> str:
    """The whole document."""
    return "\n".join([*_introduction(), *_behaviours(), *_resources()]) + "\n"


def _introduction() -> Iterator[str]:
    yield "# API compatibility"
    yield ""
    yield f"The API level is Kubernetes {api_level()}. This page is made by `make docs` from what the server serves"
    yield "and from the list of behaviours in `docs/api-behaviours.yaml`; a test fails when it is stale."
    yield ""


def _behaviours() -> Iterator[str]:
    yield "## Behaviours"
    for area, found in behaviours().items():
        yield from ("", f"### {area}", "", "| behaviour | state | shown by | what differs |", "|---|---|---|---|")
        for one in found:
            shown = f"`{one.shown_by}`" if one.shown_by else "–"
            yield f"| {one.what} | {one.state} | {shown} | {one.note or '–'} |"
    yield ""


def _resources() -> Iterator[str]:
    yield from ("## Resources", "")
    yield "`all` verbs are create, delete, deletecollection, get, list, patch, update and watch. *Rules*: validation"
    yield "beyond the schema. *Columns*: printed with columns of its own. *Protobuf*: has a protobuf form, both ways."
    served = registry()
    for group, versions in served.groups().items():
        yield from ("", f"### {group or 'core'} ({', '.join(versions)})", "")
        yield "| resource | short names | verbs | subresources | selectable fields | rules | columns | protobuf |"
        yield "|---|---|---|---|---|---|---|---|"
        for entry in served.entries():
            if entry.resource.group == group:
                yield _row(entry)


def _row(entry: Entry) -> str:
    resource = entry.resource
    verbs = "all" if set(entry.verbs) == ALL_VERBS else " ".join(entry.verbs)
    stored, converts = conversion.storage_of(entry)
    labels = converts.labels if converts and converts.labels else selectable(stored.group, stored.plural)
    fields = [field for field in labels if field not in METADATA_FIELDS]
    cells = [
        f"{resource.version} {resource.plural}",
        " ".join(entry.short_names) or "–",
        verbs,
        " ".join(sorted(entry.subresources)) or "–",
        " ".join(fields) or "–",
        _tick(validation.has_rules(entry)),
        _tick(printing.has_columns(entry)),
        _tick(protobuf.supports(resource.api_version, resource.kind)),
    ]
    return f"| {' | '.join(cells)} |"


def _tick(holds: bool) -> str:
    return "yes" if holds else "–"


if __name__ == "__main__":
    TARGET.write_text(render())
    sys.stdout.write(f"{TARGET}\n")
