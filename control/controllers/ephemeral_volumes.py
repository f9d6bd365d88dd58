"""Ephemeral volumes: makes the claim behind each generic ephemeral volume of a pod; it goes with the pod.

Invariant: a claim of that name that is not the pod's own is left alone, and the pod says so.
Source: kubernetes pkg/controller/volume/ephemeral.
"""

from __future__ import annotations

from typing import ClassVar

from api.errors import AlreadyExists
from api.loop import Loop
from api.objects import Object, controller_of, copy, is_deleting, key_of, name_of, namespace_of, owner_reference, uid_of
from api.volumes import ephemeral_claim_name
from control.controllers.context import Context

_CLAIMS = "persistentvolumeclaims"


def claim_for(pod: Object, volume: Object) -> Object:
    """The claim of one generic ephemeral volume."""
    template = volume["ephemeral"]["volumeClaimTemplate"]
    metadata = template.get("metadata") or {}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {
            "name": ephemeral_claim_name(pod, volume),
            "namespace": namespace_of(pod),
            "labels": dict(metadata.get("labels") or {}),
            "annotations": dict(metadata.get("annotations") or {}),
            "ownerReferences": [owner_reference(pod, api_version="v1", kind="Pod")],
        },
        "spec": copy(template["spec"]),
    }


class EphemeralVolumeController(Loop):
    """The shell."""

    name: ClassVar[str] = "ephemeral-volume-controller"
    workers = 2

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._pods = self.watch("pods", lambda pod: (key_of(pod),) if _ephemeral(pod) else ())
        self._claims = context.informers.of(_CLAIMS)

    def reconcile(self, key: str) -> float | None:
        """Make the claims that the pod lacks."""
        pod = self._pods.get(key)
        if pod is None or is_deleting(pod):
            return None
        for volume in _ephemeral(pod):
            claim = self._claims.get(f"{namespace_of(pod)}/{ephemeral_claim_name(pod, volume)}")
            if claim is None:
                self._create(pod, volume)
            elif (controller_of(claim) or {}).get("uid") != uid_of(pod):
                self._refuse(pod, claim)
        return None

    def _create(self, pod: Object, volume: Object) -> None:
        wanted = claim_for(pod, volume)
        try:
            self.client.create(_CLAIMS, wanted)
        except AlreadyExists:
            present = self.client.get(_CLAIMS, name_of(wanted), namespace_of(pod))
            if (controller_of(present) or {}).get("uid") != uid_of(pod):
                self._refuse(pod, present)

    def _refuse(self, pod: Object, claim: Object) -> None:
        message = f"PVC {key_of(claim)} was not created for pod {key_of(pod)} (pod is not owner)"
        self.events.warning(pod, "EphemeralVolumeConflict", message)


def _ephemeral(pod: Object) -> list[Object]:
    return [volume for volume in pod["spec"].get("volumes") or [] if volume.get("ephemeral")]
