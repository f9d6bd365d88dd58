"""One object and one change as the watch cache keeps them: text, labels, and the fields that selectors may name.

Invariant: neither ever changes; the lines made of a change are made once for each form that watchers ask for.
Source: the original's `SelectableFields` of each strategy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from api.objects import Object
from control.apiserver import codec

Fields = dict[str, tuple[str, ...]]
"""Selectable field label → path in the object."""

Form = Callable[[bytes], bytes]
"""Turns an object's text into what a client asked for (itself, its metadata, a table)."""

METADATA_FIELDS: Fields = {"metadata.name": ("metadata", "name"), "metadata.namespace": ("metadata", "namespace")}

_SELECTABLE: dict[tuple[str, str], tuple[str, ...]] = {
    ("", "pods"): (
        "spec.nodeName", "spec.restartPolicy", "spec.schedulerName", "spec.serviceAccountName", "spec.hostNetwork",
        "status.phase", "status.podIP", "status.nominatedNodeName",
    ),
    ("", "nodes"): ("spec.unschedulable",),
    ("", "secrets"): ("type",),
    ("", "services"): ("spec.clusterIP", "spec.type"),
    ("", "namespaces"): ("status.phase",),
    ("", "replicationcontrollers"): ("status.replicas",),
    ("apps", "replicasets"): ("status.replicas",),
    ("batch", "jobs"): ("status.successful",),
    ("certificates.k8s.io", "certificatesigningrequests"): ("spec.signerName",),
    ("certificates.k8s.io", "clustertrustbundles"): ("spec.signerName",),
    ("certificates.k8s.io", "podcertificaterequests"): ("spec.signerName", "spec.podName", "spec.nodeName"),
    ("resource.k8s.io", "resourceslices"): ("spec.nodeName", "spec.driver"),
    ("", "events"): (
        "involvedObject.kind", "involvedObject.namespace", "involvedObject.name", "involvedObject.uid",
        "involvedObject.apiVersion", "involvedObject.resourceVersion", "involvedObject.fieldPath", "reason",
        "reportingComponent", "source", "type",
    ),
}  # fmt: skip

_ELSEWHERE: Fields = {
    "source": ("source", "component"),
    "status.successful": ("status", "succeeded"),
    "spec.nodeName": ("spec", "nodeName"),
}
# What an old-fashioned source is called where an event has only a reporting controller.
_OTHERWISE: Fields = {"source": ("reportingComponent",)}
_BOOLEANS = frozenset({"spec.unschedulable", "spec.hostNetwork"})
_COUNTS = frozenset({"status.replicas", "status.successful"})


def selectable(group: str, plural: str) -> Fields:
    """The fields by which objects of a resource may be selected."""
    names = _SELECTABLE.get((group, plural), ())
    return METADATA_FIELDS | {name: _ELSEWHERE.get(name) or tuple(name.split(".")) for name in names}


def simple_fields(names: Iterable[str]) -> Fields:
    """Fields whose label is their path."""
    return {name: tuple(name.split(".")) for name in names}


def field_values(obj: Object, fields: Fields) -> dict[str, str]:
    """The text of each field; absent ones are the empty text, `false` or `0` by their type."""
    return {name: _text(obj, name, path) for name, path in fields.items()}


def _text(obj: Object, name: str, path: tuple[str, ...]) -> str:
    value = _at(obj, path)
    if not value and name in _OTHERWISE:
        value = _at(obj, _OTHERWISE[name])
    if isinstance(value, bool) or name in _BOOLEANS:
        return "true" if value else "false"
    if value is None:
        return "0" if name in _COUNTS else ""
    return str(value)


def _at(obj: Object, path: tuple[str, ...]) -> Any:
    value: Any = obj
    for step in path:
        value = value.get(step) if isinstance(value, dict) else None
    return value


class CachedObject:
    """An object at a revision. `key` is `namespace/name` or `name`."""

    __slots__ = ("fields", "key", "labels", "revision", "text", "uid")

    def __init__(self, key: str, revision: int, text: bytes, fields: Fields) -> None:
        self.key = key
        self.revision = revision
        self.text = text
        obj = codec.decode(text)
        self.uid: str = obj["metadata"].get("uid", "")
        self.labels: dict[str, str] = obj["metadata"].get("labels") or {}
        self.fields = field_values(obj, fields)

    def object(self) -> Object:
        """A fresh dictionary."""
        return codec.decode(self.text)


class Change:
    """What happened to one key at `revision`: `new` is None for a deletion, `old` for a creation."""

    __slots__ = ("_lines", "new", "old", "revision")

    def __init__(self, revision: int, old: CachedObject | None, new: CachedObject | None) -> None:
        self.revision = revision
        self.old = old
        self.new = new
        self._lines: dict[tuple[str, Form | None], bytes] = {}

    def line(self, kind: str, form: Form | None) -> bytes:
        """The watch line for an ADDED, MODIFIED or DELETED in a form (None: the object itself)."""
        found = self._lines.get((kind, form))
        if found is None:
            text = self._text(kind)
            found = codec.event_line(kind, form(text) if form else text)
            self._lines[kind, form] = found
        return found

    def _text(self, kind: str) -> bytes:
        if kind != "DELETED" and self.new is not None:
            return self.new.text
        assert self.old is not None
        return codec.with_revision(self.old.text, self.revision)

    def trigger_values(self, fields: set[str]) -> set[tuple[str, str]]:
        """The (field, value) pairs that the object has or had."""
        return {
            (field, one.fields[field])
            for one in (self.old, self.new)
            if one is not None
            for field in fields
            if field in one.fields
        }
