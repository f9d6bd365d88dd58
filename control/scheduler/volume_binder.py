"""Writes what a pod's delayed claims need on its node, and waits until the binder has bound them.

Invariant: when `bind` returns, every claim of the pod is bound by what the API shows.
Source: kube-scheduler VolumeBinding (PreBind; bindTimeoutSeconds).
"""

from __future__ import annotations

from api import volumes
from api.client import MERGE_PATCH, Client
from api.objects import Object, annotations_of, key_of, name_of, namespace_of, uid_of
from api.runtime import Event, Runtime
from control.scheduler.volumes import Bindings, Volumes

_LOOK_AGAIN = 0.1


class VolumesNotBound(Exception):
    """The claims were not bound; one sentence why."""


class VolumeBinder:
    """The shell."""

    def __init__(self, client: Client, runtime: Runtime, known: Volumes) -> None:
        self._client = client
        self._runtime = runtime
        self._known = known

    def bind(self, wanted: Bindings, node: str, seconds: float, stop: Event) -> None:
        """Bind, and wait so long at most. Raises VolumesNotBound, ApiError, TransportError."""
        for claim, volume in wanted.static:
            self._client.update("persistentvolumes", volumes.reserved(volume, claim))
        for claim in wanted.dynamic:
            self._select(claim, node)
        claims = [claim for claim, _ in wanted.static] + wanted.dynamic
        deadline = self._runtime.monotonic() + seconds
        while waiting := self._known.unbound(claims):
            for claim in wanted.dynamic:
                self._check(claim, node)
            if stop.is_set() or self._runtime.monotonic() > deadline:
                raise VolumesNotBound(f"timed out waiting for the claims {', '.join(waiting)} to be bound")
            stop.wait(_LOOK_AGAIN)

    def _select(self, claim: Object, node: str) -> None:
        patch = {"metadata": {"uid": uid_of(claim), "annotations": {volumes.SELECTED_NODE: node}}}
        stored = self._client.patch(
            "persistentvolumeclaims", name_of(claim), patch, namespace_of(claim), content_type=MERGE_PATCH
        )
        if int(stored["metadata"]["resourceVersion"]) > _version(self._known.claims.get(key_of(claim))):
            self._known.set_claim(None, stored)

    def _check(self, claim: Object, node: str) -> None:
        shown = self._known.claims.get(key_of(claim))
        if shown is None:
            raise VolumesNotBound(f"the claim {key_of(claim)} is gone")
        if not volumes.is_bound(shown) and annotations_of(shown).get(volumes.SELECTED_NODE) != node:
            raise VolumesNotBound(f"provisioning failed for PVC {name_of(claim)}")


def _version(obj: Object | None) -> int:
    return int((obj or {"metadata": {}})["metadata"].get("resourceVersion") or 0)
