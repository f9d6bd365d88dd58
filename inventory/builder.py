"""Collects what several sources say, in order, and closes it into one `Inventory`.

Invariant: a later source adds to an earlier one and overrides its variables key by key; `build` fails when a group
was named as a child and nobody defined it, or when groups contain each other in a circle.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from inventory.documents import Mark
from inventory.errors import InventoryError
from inventory.model import DirectoryVariables, Group, Inventory, Variables


@dataclass(slots=True)
class _Draft:
    hosts: dict[str, None] = field(default_factory=dict)
    children: dict[str, Mark] = field(default_factory=dict)
    variables: Variables = field(default_factory=dict)
    defined: bool = False


class Builder:
    """Readers call `group`, `host`, `child` and the variable setters; `build` gives the result."""

    def __init__(self) -> None:
        self._groups: dict[str, _Draft] = {"all": _Draft(defined=True), "ungrouped": _Draft(defined=True)}
        self._hosts: dict[str, Variables] = {}
        self._directories: list[DirectoryVariables] = []
        self._sources: list[str] = []

    def group(self, name: str, *, defined: bool = True) -> None:
        """Make a group known; `defined` once a source gives it a body."""
        draft = self._groups.setdefault(name, _Draft())
        draft.defined = draft.defined or defined

    def has_group(self, name: str) -> bool:
        """Whether any source so far named the group."""
        return name in self._groups

    def host(self, name: str, group: str = "all", variables: Mapping[str, Any] | None = None) -> None:
        """Put a host into a group and add to its own variables."""
        self.group(group)
        self._groups[group].hosts[name] = None
        self._hosts.setdefault(name, {}).update(variables or {})

    def child(self, parent: str, child: str, mark: Mark) -> None:
        """Put a group below another; `mark` is where that was said."""
        self.group(parent)
        self.group(child, defined=False)
        self._groups[parent].children.setdefault(child, mark)

    def group_variables(self, name: str, variables: Mapping[str, Any]) -> None:
        """Add to a group's own variables."""
        self.group(name)
        self._groups[name].variables.update(variables)

    def directory(self, variables: DirectoryVariables) -> None:
        """Add what the group_vars and host_vars beside a source say."""
        self._directories.append(variables)

    def source(self, name: str) -> None:
        """Remember a source that was read."""
        self._sources.append(name)

    def build(self, warnings: tuple[str, ...] = ()) -> Inventory:
        """Close the collection. Raises InventoryError for an undefined child or a circle of groups."""
        self._refuse_undefined()
        self._refuse_circles()
        self._place_under_all()
        self._place_ungrouped()
        groups = {
            name: Group(name, tuple(draft.hosts), tuple(draft.children), draft.variables)
            for name, draft in self._groups.items()
        }
        return Inventory(self._hosts, groups, tuple(self._directories), tuple(self._sources), warnings)

    def _refuse_undefined(self) -> None:
        for parent, draft in self._groups.items():
            for child, mark in draft.children.items():
                if not self._groups[child].defined:
                    raise InventoryError(
                        f"{mark}: group {parent!r} has the child {child!r}, which nobody defines; "
                        f"give {child!r} hosts or children, or remove it here"
                    )

    def _refuse_circles(self) -> None:
        finished: set[str] = set()

        def visit(name: str, above: tuple[str, ...]) -> None:
            if name in finished:
                return
            for child, mark in self._groups[name].children.items():
                if child in (*above, name):
                    raise InventoryError(f"{mark}: group {child!r} would contain itself through {name!r}")
                visit(child, (*above, name))
            finished.add(name)

        for name in self._groups:
            visit(name, ())

    def _place_under_all(self) -> None:
        nested = {child for name, draft in self._groups.items() if name != "all" for child in draft.children}
        everything = self._groups["all"]
        declared = dict(everything.children)
        everything.children.clear()
        loose = (name for name in self._groups if name != "all" and name not in nested)
        for name in ("ungrouped", *declared, *loose):
            everything.children.setdefault(name, declared.get(name, Mark("", 0)))

    def _place_ungrouped(self) -> None:
        grouped = {
            host for name, draft in self._groups.items() if name not in ("all", "ungrouped") for host in draft.hosts
        }
        ungrouped = self._groups["ungrouped"].hosts
        for host in self._hosts:
            if host in grouped:
                ungrouped.pop(host, None)
            else:
                ungrouped[host] = None
