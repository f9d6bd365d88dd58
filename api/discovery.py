"""Which resources a server has, asked of the server itself.

Invariant: each (group, plural) is told once, in the version the server prefers.
Source: Kubernetes API discovery (APIGroupList, APIResourceList).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

from api.client import Client
from api.errors import ApiError
from api.resources import Resource


@dataclass(frozen=True, slots=True)
class Found:
    """A resource and the verbs it has."""

    resource: Resource
    verbs: frozenset[str]


@dataclass(frozen=True, slots=True)
class Discovery:
    """What was found, and the group versions that could not be asked, with why."""

    found: tuple[Found, ...]
    failed: dict[str, str]

    def with_verbs(self, *verbs: str) -> list[Resource]:
        """The resources that have all these verbs."""
        return [one.resource for one in self.found if one.verbs.issuperset(verbs)]


def discover(client: Client) -> Discovery:
    """Ask for all groups. Raises ApiError or TransportError only if the groups themselves cannot be listed."""
    versions = [("", "v1")]
    for group in _json(client, "/apis").get("groups") or []:
        ordered = [group["preferredVersion"], *group["versions"]]
        versions += [(group["name"], entry["version"]) for entry in ordered]
    found: dict[tuple[str, str], Found] = {}
    failed: dict[str, str] = {}
    for group_name, version in dict.fromkeys(versions):
        name = f"{group_name}/{version}" if group_name else version
        try:
            entries = _json(client, f"/apis/{name}" if group_name else f"/api/{name}").get("resources") or []
        except ApiError as error:
            failed[name] = error.message
            continue
        for entry in entries:
            if "/" not in entry["name"]:
                resource = Resource(group_name, version, entry["name"], entry["kind"], bool(entry["namespaced"]))
                found.setdefault((group_name, entry["name"]), Found(resource, frozenset(entry.get("verbs") or [])))
    return Discovery(tuple(found.values()), failed)


def _json(client: Client, path: str) -> dict[str, Any]:
    body: dict[str, Any] = orjson.loads(client.raw("GET", path))
    return body
