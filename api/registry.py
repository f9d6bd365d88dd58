"""What the API serves: every resource with its names, verbs, subresources and schema, built in or added later.

Invariant: a `Registry` is an ordinary value; two registries share nothing that changes, so a custom resource that is
added to one is not seen by another.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from api.resources import Resource
from api.schema import data

_VERSION = re.compile(r"v([1-9][0-9]*)(?:(alpha|beta)([1-9][0-9]*))?", re.ASCII)


@dataclass(frozen=True, slots=True)
class SubresourceInfo:
    """A subresource such as `scale`: the kind of its bodies and the verbs it allows."""

    kind: str
    group: str
    version: str
    verbs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Entry:
    """All that is known of one resource in one version.

    `definition` names its schema for `api.schema`; it is "" for a resource whose schema is elsewhere.
    """

    resource: Resource
    singular: str
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    verbs: tuple[str, ...] = ()
    subresources: dict[str, SubresourceInfo] = field(default_factory=dict)
    definition: str = ""

    @property
    def list_kind(self) -> str:
        """`PodList` for Pod."""
        return f"{self.resource.kind}List"


class Registry:
    """Resources by address and by kind, in the order of discovery (groups, then versions by preference)."""

    def __init__(self, entries: Iterable[Entry] = ()) -> None:
        self._by_address: dict[tuple[str, str, str], Entry] = {}
        self._by_kind: dict[tuple[str, str, str], Entry] = {}
        for entry in entries:
            self.add(entry)

    def find(self, group: str, version: str, plural: str) -> Entry | None:
        """The resource at that address, if it is served."""
        return self._by_address.get((group, version, plural))

    def by_kind(self, group: str, version: str, kind: str) -> Entry | None:
        """The resource whose objects have that kind, if it is served."""
        return self._by_kind.get((group, version, kind))

    def entries(self) -> list[Entry]:
        """All resources."""
        return list(self._by_address.values())

    def groups(self) -> dict[str, list[str]]:
        """Each group with its versions, the preferred one first; the core group is ""."""
        found: dict[str, list[str]] = {}
        for entry in self.entries():
            group, version = entry.resource.group, entry.resource.version
            versions = found.setdefault(group, [])
            if version not in versions:
                versions.append(version)
                if not entry.definition:
                    versions.sort(key=version_priority, reverse=True)
        return found

    def add(self, entry: Entry) -> None:
        """Serve a resource, in place of the one at the same address if there is one."""
        resource = entry.resource
        self.remove(resource.group, resource.version, resource.plural)
        self._by_address[resource.group, resource.version, resource.plural] = entry
        self._by_kind[resource.group, resource.version, resource.kind] = entry

    def remove(self, group: str, version: str, plural: str) -> None:
        """Serve that resource no longer; nothing happens if it was not served."""
        entry = self._by_address.pop((group, version, plural), None)
        if entry is not None:
            self._by_kind.pop((group, version, entry.resource.kind), None)

    def with_entry(self, entry: Entry) -> Registry:
        """A registry of its own that serves this resource as well."""
        grown = Registry(self.entries())
        grown.add(entry)
        return grown


def version_priority(name: str) -> tuple[int, int, int, str]:
    """How the original orders versions: v2 > v1 > v1beta2 > v1beta1 > v1alpha1 > anything else."""
    match = _VERSION.fullmatch(name)
    if match is None:
        return (0, 0, 0, name)
    major, stage, minor = match.groups()
    return ({None: 3, "beta": 2, "alpha": 1}[stage], int(major), int(minor or 0), "")


def registry() -> Registry:
    """A new registry of every stable built-in resource of the API level that the packaged schemas have."""
    return Registry([_entry(known) for known in data.resources()["resources"]])


def api_level() -> str:
    """The Kubernetes version whose API is served, such as "1.37"."""
    return str(data.resources()["level"])


def _entry(known: dict[str, Any]) -> Entry:
    subresources = {
        name: SubresourceInfo(kind, group, version, tuple(verbs))
        for name, (group, version, kind, verbs) in known["subresources"].items()
    }
    return Entry(
        resource=Resource(known["group"], known["version"], known["plural"], known["kind"], known["namespaced"]),
        singular=known["singular"],
        short_names=tuple(known["shortNames"]),
        categories=tuple(known["categories"]),
        verbs=tuple(known["verbs"]),
        subresources=subresources,
        definition=known["definition"],
    )
