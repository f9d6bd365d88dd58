"""Resource quota: keeps `status.used` true; admission counts up between two looks, this counts anew.

Invariant: what is written is the sum over what the server lists, so that an error of admission does not last; but
nothing is given back while an object that was charged may still be on its way into the lists. `api.quota` counts for
both.
Source: kubernetes pkg/controller/resourcequota and pkg/quota/v1/evaluator/core (what counts, scopes).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from api import quota
from api.discovery import discover
from api.informer import Informer
from api.loop import Loop
from api.objects import Object, copy, is_deleting, key_of, namespace_of
from api.quantities import ZERO, parse
from api.resources import Resource, find
from api.runtime import Event
from control.controllers.context import Context
from control.controllers.pods import phase_of

_RESOURCE = "resourcequotas"
_PERIOD = 300.0
# Deletions come in crowds: they are counted once for all.
_SETTLE = 0.5
# For so long after a charge its object may not be in the store or not in our informers yet.
_IN_FLIGHT = 10.0
_ALWAYS = (
    "pods", "services", "replicationcontrollers", "resourcequotas", "secrets", "configmaps", "persistentvolumeclaims",
)  # fmt: skip
# What is not served now may be served later.
_REDISCOVER = 30.0


def used(
    hard: Iterable[str], spec: Mapping[str, Any], present: Mapping[Resource, Iterable[Object]], now: float = 0.0
) -> dict[str, str]:
    """`status.used` for the resources of a quota's `hard`, of the objects in its namespace."""
    total = quota.total(
        quota.usage_of(resource, obj, now)
        for resource, objects in present.items()
        for obj in objects
        if quota.covers(spec, resource, obj)
    )
    return {name: str(total.get(name, ZERO)) for name in hard}


class ResourceQuotaController(Loop):
    """The shell."""

    name = "resourcequota-controller"
    workers = 2

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        # By quota: the amounts last seen, and when each of them was last charged by admission.
        self._seen: dict[str, dict[str, str]] = {}
        self._charged: dict[str, dict[str, float]] = {}
        self._stop: Event | None = None
        self._discovered = -_REDISCOVER
        self._quotas = self.watch(_RESOURCE)
        self._quotas.add_handler(self._on_quota)
        self._counted: dict[Resource, Informer] = {}
        for name in _ALWAYS:
            self._follow(find(name))

    def start(self, stop: Event) -> None:
        self._stop = stop
        super().start(stop)

    def _follow(self, resource: Resource) -> None:
        informer = self._counted[resource] = self.informers.of(resource)
        informer.add_index("namespace", lambda obj: (namespace_of(obj),))
        informer.add_handler(self._on_change)

    def _follows(self, hard: Iterable[str]) -> bool:
        """Whether all that a quota counts is known; what is not served counts as none."""
        known = {resource.name for resource in self._counted}
        missing = {quota.counted_by(name) for name in hard} - known - {""}
        now = self.runtime.monotonic()
        if missing and now - self._discovered >= _REDISCOVER:
            self._discovered = now
            for resource in discover(self.client).with_verbs("list", "watch"):
                if resource.name in missing and resource.namespaced:
                    self._follow(resource)
            if self._stop is not None:
                self.informers.start(self._stop)
        return all(informer.synced() for informer in self._counted.values())

    def reconcile(self, key: str) -> float | None:
        """Count, and write what differs."""
        found = self._quotas.get(key)
        if found is None or is_deleting(found):
            return None
        namespace, hard = namespace_of(found), found["spec"].get("hard") or {}
        if not self._follows(hard):
            return _SETTLE
        present = {resource: informer.by_index("namespace", namespace) for resource, informer in self._counted.items()}
        counted = used(hard, found["spec"], present, self.runtime.time())
        held = self._held(key, (found.get("status") or {}).get("used") or {}, counted)
        status = {"hard": hard, "used": counted | held}
        if status != (found.get("status") or {}):
            self._seen[key] = status["used"]
            self.client.update_status(_RESOURCE, copy(found) | {"status": status})
        return _IN_FLIGHT if held else _PERIOD

    def _held(self, key: str, shown: Mapping[str, str], counted: Mapping[str, str]) -> dict[str, str]:
        """The amounts that are higher than what was counted, and may yet turn out to be right."""
        soonest = self.runtime.monotonic() - _IN_FLIGHT
        charged = self._charged.get(key, {})
        return {
            name: shown[name]
            for name, amount in counted.items()
            if name in shown and parse(amount) < parse(shown[name]) and charged.get(name, soonest) > soonest
        }

    def _on_quota(self, old: Object | None, new: Object | None) -> None:
        """Whatever differs from what we saw or wrote last was charged by admission."""
        key = key_of(new or old or {})
        if new is None:
            self._seen.pop(key, None)
            self._charged.pop(key, None)
            return
        shown, seen = (new.get("status") or {}).get("used") or {}, self._seen.get(key, {})
        now, charged = self.runtime.monotonic(), self._charged.setdefault(key, {})
        charged.update({name: now for name, amount in shown.items() if seen.get(name) != amount})
        self._seen[key] = dict(shown)

    def _on_change(self, old: Object | None, new: Object | None) -> None:
        """Something went, ended or moved: what it took is free again. What came was counted by admission."""
        if old is None or (new is not None and not _frees(old, new)):
            return
        for found in self._quotas.items(namespace_of(old)):
            self.queue.add_after(key_of(found), _SETTLE)


def _frees(old: Object, new: Object) -> bool:
    """Whether an update may leave quotas with more than before."""
    spec = new.get("spec", {})
    if "containers" in spec:
        return phase_of(old) != phase_of(new)
    return "accessModes" in spec and quota.moves(old, new)
