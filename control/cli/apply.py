"""Puts manifests into a cluster where no kubectl is at hand: what is missing is made, what differs is patched.

Invariant: applying the same manifests again changes nothing, and says so.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from api.client import Client
from api.errors import NotFound
from api.objects import Object
from api.resources import Resource, built_in
from control.cli.errors import CommandError

CREATED, CONFIGURED, UNCHANGED = "created", "configured", "unchanged"


@dataclass(frozen=True, slots=True)
class Applied:
    """What became of one object."""

    name: str
    outcome: str


def apply(client: Client, path: Path, namespace: str = "default") -> list[Applied]:
    """Apply all objects of a file, in its order. Raises CommandError, ApiError, TransportError."""
    return [_apply_one(client, obj, namespace) for obj in manifests(path)]


def manifests(path: Path) -> Iterator[Object]:
    """The objects of a YAML file of many documents. Raises CommandError naming the document that is none."""
    try:
        documents = list(yaml.safe_load_all(path.read_text()))
    except OSError as error:
        raise CommandError(f"{path} cannot be read: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise CommandError(f"{path} is not YAML: {error}") from error
    for number, document in enumerate(documents, 1):
        if document is None:
            continue
        if not isinstance(document, dict) or not {"apiVersion", "kind", "metadata"} <= set(document):
            raise CommandError(f"{path}: document {number} is no object with apiVersion, kind and metadata")
        yield document


def _apply_one(client: Client, obj: Object, namespace: str) -> Applied:
    resource = _resource_of(obj)
    metadata: dict[str, Any] = obj["metadata"]
    if resource.namespaced:
        metadata.setdefault("namespace", namespace)
    name = f"{resource.name}/{metadata['name']}"
    where = metadata.get("namespace", "")
    try:
        before = client.get(resource, metadata["name"], where)
    except NotFound:
        client.create(resource, obj)
        return Applied(name, CREATED)
    after = client.patch(resource, metadata["name"], obj, where, field_manager="wherry")
    same = before["metadata"]["resourceVersion"] == after["metadata"]["resourceVersion"]
    return Applied(name, UNCHANGED if same else CONFIGURED)


def _resource_of(obj: Object) -> Resource:
    for resource in built_in().values():
        if (resource.api_version, resource.kind) == (obj["apiVersion"], obj["kind"]):
            return resource
    raise CommandError(
        f"{obj['apiVersion']} {obj['kind']} {obj['metadata'].get('name', '')} is no kind that Wherry has"
    )
