"""DaemonSet: one pod on every node that it is meant for.

Invariant: no node is given a second pod of one revision; a rolling update keeps within maxUnavailable and maxSurge.
Source: kubernetes pkg/controller/daemon (placement, tolerations, update, status).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from api.errors import ApiError
from api.loop import Loop, owner_keys
from api.objects import Object, copy, is_deleting, key_of, labels_of, name_of
from api.resources import find
from api.selectors import LabelSelector
from control.controllers.backoff import Backoff
from control.controllers.batches import BURST_REPLICAS, slow_start
from control.controllers.claims import Claimer, claimant_keys
from control.controllers.context import Context
from control.controllers.daemon_rules import (
    HASH_LABEL,
    Plan,
    decide,
    leave_alone,
    node_of,
    pod_for,
    should_run,
    status,
)
from control.controllers.ledger import Ledger
from control.controllers.pods import phase_of
from control.controllers.replicaset import create_pod, delete_pod
from control.controllers.revisions import Revisions

_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 900.0


class DaemonSetController(Loop):
    """The shell around `daemon_rules`."""

    name: ClassVar[str] = "daemonset-controller"
    workers = 2

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._resource = find("daemonsets.apps")
        self._sets = self.watch(self._resource)
        self._pods = self.watch("pods", claimant_keys(self._sets))
        self._revisions = Revisions(
            context.client, self.watch("controllerrevisions.apps", owner_keys("DaemonSet", "apps")), self._resource
        )
        self._nodes = context.informers.of("nodes")
        self._nodes.add_handler(self._on_node)
        self._claimer = Claimer(context.client, self._pods, self._resource)
        self._ledger = Ledger(self._pods)
        # Where pods fail again and again, a node refuses them, say: that must not become a race of the two.
        self._backoff = Backoff(_FIRST_PAUSE, _LONGEST_PAUSE)

    def reconcile(self, key: str) -> float | None:
        """Create, replace and delete pods, then report."""
        found = self._sets.get(key)
        if found is None or is_deleting(found):
            return None
        selector = LabelSelector.from_json(found["spec"]["selector"])
        if selector.empty:
            message = "This daemon set is selecting all pods. A non-empty selector is required."
            self.events.warning(found, "SelectingAll", message)
            return None
        collisions = int((found.get("status") or {}).get("collisionCount") or 0)
        revision = self._revisions.current(found, collisions)
        digest = labels_of(revision)[HASH_LABEL]
        nodes = self._nodes.items()
        pods = self._ledger.view(key, self._claimer.claim(found, selector))
        now = self.runtime.time()
        plan = decide(found, nodes, pods, digest, now)
        pause = leave_alone(found, plan, self._backoff, self.runtime.monotonic())
        error = self._carry_out(found, plan, digest)
        pods = self._ledger.view(key, self._claimer.claim(found, selector)) if plan.create or plan.delete else pods
        again = self._report(found, nodes, pods, digest)
        self._revisions.clean(found, {f"{name_of(found)}-{labels_of(pod).get(HASH_LABEL)}" for pod in pods})
        if error is not None:
            raise error
        return min((wait for wait in (pause, again) if wait is not None), default=None)

    def _carry_out(self, found: Object, plan: Plan, digest: str) -> ApiError | None:
        def create(node_name: str) -> None:
            pod = pod_for(found, node_name, digest)
            create_pod(self, self._ledger, found, self._resource.api_version, self._resource.kind, pod)

        try:
            for pod in plan.failed:
                ended = "succeeded" if phase_of(pod) == "Succeeded" else "failed"
                message = f"Found {ended} daemon pod {key_of(pod)} on node {node_of(pod)}, will try to "
                if ended == "failed":
                    self.events.warning(found, "FailedDaemonPod", f"{message}kill it")
                else:
                    self.events.normal(found, "SucceededDaemonPod", f"{message}delete it")
            doomed = [*plan.delete, *plan.failed]
            slow_start(self.runtime, self.name, doomed, lambda pod: delete_pod(self, self._ledger, found, pod))
            slow_start(self.runtime, self.name, plan.create[:BURST_REPLICAS], create)
        except ApiError as error:
            return error
        return None

    def _report(self, found: Object, nodes: Sequence[Object], pods: Sequence[Object], digest: str) -> float | None:
        wanted, again = status(found, nodes, pods, digest, self.runtime.time())
        if wanted != (found.get("status") or {}):
            changed = copy(found)
            changed["status"] = wanted
            self.client.update_status(self._resource, changed)
        return again

    def _on_node(self, old: Object | None, new: Object | None) -> None:
        for one in self._sets.items():
            before = should_run(one, old) if old else None
            if before != (should_run(one, new) if new else None):
                self.queue.add(key_of(one))
