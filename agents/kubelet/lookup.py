"""Config maps, secrets and claims that pods refer to, fetched one by one and remembered for a short while.

Of these a node may read only what its pods name, so nothing is watched here, and only what is public is listed.

Invariant: what is handed out is at most `seconds` old.
Source: kubelet's util/manager cache-based managers.
"""

from __future__ import annotations

from collections.abc import Sequence

from api.client import Client
from api.errors import NotFound
from api.objects import Object
from api.runtime import Runtime

_KINDS = {"configmaps": "ConfigMap", "secrets": "Secret"}


class Lookup:
    """A cache in front of single GETs."""

    def __init__(self, client: Client, clock: Runtime, seconds: float = 10.0) -> None:
        self._client = client
        self._clock = clock
        self._seconds = seconds
        self._found: dict[tuple[str, str, str], tuple[float, Object | None]] = {}
        self._listed: dict[str, tuple[float, Sequence[Object]]] = {}

    def get(self, plural: str, namespace: str, name: str) -> Object | None:
        """The object, or None if it does not exist. Raises ApiError or TransportError."""
        key, now = (plural, namespace, name), self._clock.monotonic()
        known = self._found.get(key)
        if known is not None and known[1] is not None and now - known[0] < self._seconds:
            return known[1]
        try:
            found: Object | None = self._client.get(plural, name, namespace)
        except NotFound:
            found = None
        if found is not None and plural in _KINDS:
            found.setdefault("kind", _KINDS[plural])
        self._found[key] = (now, found)
        if len(self._found) > 1024:
            # Other workers add to it meanwhile.
            self._found = {k: v for k, v in self._found.copy().items() if now - v[0] < self._seconds}
        return found

    def list(self, plural: str) -> Sequence[Object]:
        """Every object of a kind without namespaces. Raises ApiError or TransportError."""
        now = self._clock.monotonic()
        known = self._listed.get(plural)
        if known is None or now - known[0] >= self._seconds:
            known = self._listed[plural] = now, self._client.list(plural).items
        return known[1]
