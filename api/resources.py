"""Where a resource lives in the API: group, version, plural, kind and scope, and the paths that follow from them.

Invariant: a `Resource` is only an address. What the server knows beyond that (schema, columns, strategy) is
found in the registry by this address.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import quote

from api.schema.data import resources


@dataclass(frozen=True, slots=True)
class Resource:
    """The address of a resource, e.g. Resource("apps", "v1", "deployments", "Deployment", True)."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool

    @property
    def api_version(self) -> str:
        """`v1` or `apps/v1`, as objects carry it."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def name(self) -> str:
        """`pods` or `deployments.apps`, as RBAC and messages name it."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """The URL path; without a namespace all namespaces, without a name the collection."""
        parts = ["/apis", self.group, self.version] if self.group else ["/api", self.version]
        if namespace and self.namespaced:
            parts += ["namespaces", quote(namespace, safe="")]
        parts.append(self.plural)
        if name:
            parts.append(quote(name, safe=""))
        if subresource:
            parts.append(subresource)
        return "/".join(parts)


@lru_cache(maxsize=1)
def built_in() -> dict[str, Resource]:
    """Every built-in resource by its text form (`pods`, `deployments.apps`), in its preferred version."""
    found: dict[str, Resource] = {}
    for known in resources()["resources"]:
        resource = Resource(known["group"], known["version"], known["plural"], known["kind"], known["namespaced"])
        found.setdefault(resource.name, resource)
    return found


def find(name: str) -> Resource:
    """The built-in resource of that text form. Raises KeyError with the name."""
    return built_in()[name]
