"""The value that all readers produce: hosts, groups, and what is said about each.

Invariant: an `Inventory` never changes; `with_host` returns another one. Every group but `all` has a parent, and
every host is in `all` through its groups (`ungrouped` if it has no other).
Source: Ansible, "How to build your inventory" and "Understanding variable precedence".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

Variables = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Group:
    """A named set: its own `hosts` and `children` in the order of the sources, and its own variables."""

    name: str
    hosts: tuple[str, ...] = ()
    children: tuple[str, ...] = ()
    variables: Mapping[str, Any] = field(default_factory=dict)

    @property
    def priority(self) -> int:
        """`ansible_group_priority`: among groups of one depth the higher wins."""
        return int(self.variables.get("ansible_group_priority", 1))


@dataclass(frozen=True, slots=True)
class DirectoryVariables:
    """What one directory's `group_vars` and `host_vars` say."""

    groups: Mapping[str, Variables] = field(default_factory=dict)
    hosts: Mapping[str, Variables] = field(default_factory=dict)


@dataclass(frozen=True)
class Inventory:
    """All hosts with their own variables, all groups, and the variable directories beside the sources."""

    hosts: Mapping[str, Variables]
    groups: Mapping[str, Group]
    directories: tuple[DirectoryVariables, ...] = ()
    sources: tuple[str, ...] = ()
    # What could not be read, a sentence each.
    warnings: tuple[str, ...] = ()

    @cached_property
    def _parents(self) -> dict[str, list[str]]:
        parents: dict[str, list[str]] = {name: [] for name in self.groups}
        for group in self.groups.values():
            for child in group.children:
                parents[child].append(group.name)
        return parents

    @cached_property
    def _direct(self) -> dict[str, list[str]]:
        direct: dict[str, list[str]] = {name: [] for name in self.hosts}
        for group in self.groups.values():
            for host in group.hosts:
                direct[host].append(group.name)
        return direct

    @cached_property
    def _depths(self) -> dict[str, int]:
        depths: dict[str, int] = {}

        def depth(name: str) -> int:
            if name not in depths:
                depths[name] = max((depth(parent) + 1 for parent in self._parents[name]), default=0)
            return depths[name]

        for name in self.groups:
            depth(name)
        return depths

    @cached_property
    def _members(self) -> dict[str, tuple[str, ...]]:
        return {}

    def hosts_of(self, group: str) -> tuple[str, ...]:
        """The group's hosts with those of its descendants, each once, nearest groups first."""
        if group not in self._members:
            found: dict[str, None] = {}
            for name in self.descendants(group):
                found.update(dict.fromkeys(self.groups[name].hosts))
            self._members[group] = tuple(found)
        return self._members[group]

    def descendants(self, group: str) -> Iterator[str]:
        """The group and all groups below it, level by level, each once."""
        seen = {group}
        level: Sequence[str] = (group,)
        while level:
            yield from level
            below = [child for name in level for child in self.groups[name].children]
            level = [child for child in dict.fromkeys(below) if child not in seen]
            seen.update(level)

    def groups_of(self, host: str) -> list[str]:
        """All groups that hold the host, outermost first: the order in which their variables apply."""
        found: set[str] = set()
        waiting = list(self._direct.get(host, ()))
        while waiting:
            name = waiting.pop()
            if name not in found:
                found.add(name)
                waiting.extend(self._parents[name])
        found.add("all")
        return sorted(found, key=lambda name: (self._depths[name], self.groups[name].priority, name))

    def host_variables(self, host: str, beside_playbook: Iterable[DirectoryVariables] = ()) -> Variables:
        """All that is said about a host, by Ansible's precedence from group variables to host_vars."""
        groups = self.groups_of(host)
        directories = self.directories, tuple(beside_playbook)
        merged: Variables = {}
        for name in groups:
            merged.update(self.groups[name].variables)
        merged.pop("ansible_group_priority", None)
        for names in (("all",), [name for name in groups if name != "all"]):
            for layer in directories:
                for name in names:
                    for directory in layer:
                        merged.update(directory.groups.get(name, {}))
        merged.update(self.hosts.get(host, {}))
        for layer in directories:
            for directory in layer:
                merged.update(directory.hosts.get(host, {}))
        return merged

    def own_variables(self, host: str, beside_playbook: Iterable[DirectoryVariables] = ()) -> Variables:
        """What is said about a host itself, in its sources and in host_vars."""
        merged = dict(self.hosts.get(host, {}))
        for directory in (*self.directories, *beside_playbook):
            merged.update(directory.hosts.get(host, {}))
        return merged

    def group_variables(self, name: str, beside_playbook: Iterable[DirectoryVariables] = ()) -> Variables:
        """What is said about a group itself, in its sources and in group_vars."""
        merged = dict(self.groups[name].variables)
        for directory in (*self.directories, *beside_playbook):
            merged.update(directory.groups.get(name, {}))
        return merged

    def with_host(self, name: str, groups: Iterable[str], variables: Mapping[str, Any]) -> Inventory:
        """This inventory and one host more, or a known host with more groups or variables."""
        hosts = {**self.hosts, name: {**self.hosts.get(name, {}), **variables}}
        named = tuple(dict.fromkeys(groups)) or (() if name in self.hosts else ("ungrouped",))
        changed = dict(self.groups)
        for group in named:
            old = changed.get(group) or Group(group)
            changed[group] = replace(old, hosts=tuple(dict.fromkeys((*old.hosts, name))))
        new = [group for group in named if group not in self.groups]
        changed["all"] = replace(changed["all"], children=(*changed["all"].children, *new))
        return replace(self, hosts=hosts, groups=changed)

    def with_child(self, parent: str, child: str) -> Inventory:
        """This inventory with `child` below `parent`; either is made if it is new."""
        changed = dict(self.groups)
        for name in (parent, child):
            changed.setdefault(name, Group(name))
        changed[parent] = replace(changed[parent], children=tuple(dict.fromkeys((*changed[parent].children, child))))
        if parent not in self.groups:
            changed["all"] = replace(changed["all"], children=(*changed["all"].children, parent))
        return replace(self, groups=changed)
