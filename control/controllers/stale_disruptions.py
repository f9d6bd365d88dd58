"""Stale disruptions: a pod that was to be ended for others, and is still there, is said to be so no more.

Whoever ends a pod says so in its condition first, and may fail to end it then: budgets, Jobs and people would go on
counting on its end.

Invariant: the condition of a pod that is being deleted stays, for it says why.
Source: kubernetes pkg/controller/disruption (syncStalePodDisruption).
"""

from __future__ import annotations

from typing import ClassVar

from api.client import STRATEGIC_MERGE_PATCH
from api.errors import NotFound
from api.loop import Loop
from api.objects import Object, condition, is_deleting, key_of, name_of, namespace_of, uid_of
from api.runtime import parse_timestamp, timestamp
from control.controllers.context import Context
from control.controllers.pods import phase_of

_BELIEVED_FOR = 120.0


def stale_at(pod: Object) -> float | None:
    """When the pod's end is no longer expected, in seconds since the epoch; None if that does not come up."""
    found = condition(pod, "DisruptionTarget")
    if found is None or found["status"] != "True" or not found.get("lastTransitionTime"):
        return None
    if is_deleting(pod) or phase_of(pod) in ("Succeeded", "Failed"):
        return None
    return parse_timestamp(found["lastTransitionTime"]) + _BELIEVED_FOR


class StaleDisruptionController(Loop):
    """The shell."""

    name: ClassVar[str] = "stale-disruption-controller"
    workers = 1

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._pods = self.watch("pods", lambda pod: (key_of(pod),) if stale_at(pod) is not None else ())

    def reconcile(self, key: str) -> float | None:
        """Take the condition back, or say when to look again."""
        pod = self._pods.get(key)
        moment = stale_at(pod) if pod is not None else None
        if pod is None or moment is None:
            return None
        now = self.runtime.time()
        if moment > now:
            return moment - now
        verdict = {"type": "DisruptionTarget", "status": "False", "lastTransitionTime": timestamp(now)}
        metadata = {"uid": uid_of(pod), "resourceVersion": pod["metadata"]["resourceVersion"]}
        patch = {
            "metadata": metadata,
            "status": {"conditions": [verdict | {"reason": None, "message": None}]},
        }
        try:
            self.client.patch(
                "pods", name_of(pod), patch, namespace_of(pod), subresource="status", content_type=STRATEGIC_MERGE_PATCH
            )
        except NotFound:
            return None
        return None
