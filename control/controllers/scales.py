"""Sizes of workloads of any kind, by their scale subresource.

Invariant: kinds that are not built in are looked up anew each time, for they come and go.
Source: client-go's scale client.
"""

from __future__ import annotations

from api.client import Client
from api.discovery import discover
from api.objects import Object
from api.resources import Resource, built_in


class Scalers:
    """Finds resources by references to objects, and their scales."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def resource(self, reference: Object) -> Resource:
        """The resource of a kind, also of one that is not built in. Raises LookupError, ApiError, TransportError."""
        group, kind = str(reference.get("apiVersion") or "").rpartition("/")[0], reference["kind"]
        for known in built_in().values():
            if (known.group, known.kind) == (group, kind):
                return known
        for found in discover(self._client).found:
            if (found.resource.group, found.resource.kind) == (group, kind):
                return found.resource
        raise LookupError(f'no matches for kind "{kind}" in group "{group}"')

    def scale(self, reference: Object, namespace: str) -> Object:
        """The scale of the object. Raises LookupError, ApiError, TransportError."""
        return self._client.get(self.resource(reference), reference["name"], namespace, subresource="scale")
