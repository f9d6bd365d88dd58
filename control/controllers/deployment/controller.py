"""Deployment: brings its ReplicaSets to the template and size it asks for.

Invariant: every write carries the resource version that the decision was made on, so a stale view loses the race
instead of acting twice.
Source: kubernetes pkg/controller/deployment (deployment_controller.go, sync.go, recreate.go; events and reasons).
"""

from __future__ import annotations

from collections.abc import Sequence

from api.errors import AlreadyExists, ApiError, NotFound
from api.loop import Loop, owner_keys
from api.objects import (
    Object,
    annotations_of,
    condition,
    controller_of,
    copy,
    is_deleting,
    key_of,
    name_of,
    namespace_of,
    uid_of,
)
from api.resources import find
from api.selectors import LabelSelector
from control.controllers.claims import Claimer, claimant_keys, index_for_claims, owned
from control.controllers.context import Context
from control.controllers.deployment import history, rolling, status
from control.controllers.pods import phase_of

_DEPLOYMENTS = "deployments.apps"
_REPLICASETS = "replicasets.apps"


class DeploymentController(Loop):
    """The shell around history, rolling and status."""

    name = "deployment-controller"
    workers = 5

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._deployments = self.watch(_DEPLOYMENTS)
        self._owner = owner_keys("Deployment", "apps")
        self._replicasets = self.watch(_REPLICASETS, claimant_keys(self._deployments))
        self._claimer = Claimer(context.client, self._replicasets, find(_DEPLOYMENTS))
        self._pods = context.informers.of("pods")
        index_for_claims(self._pods)
        self._pods.add_handler(self._on_pod)

    def reconcile(self, key: str) -> float | None:
        """One step of the rollout, then the status; seconds until the progress deadline."""
        shown = self._deployments.get(key)
        if shown is None:
            return None
        deployment = copy(shown)
        selector = LabelSelector.from_json(deployment["spec"]["selector"])
        if selector.empty:
            message = "This deployment is selecting all pods. A non-empty selector is required."
            self.events.warning(deployment, "SelectingAll", message)
            return None
        replicasets = self._claimer.claim(deployment, selector)
        if is_deleting(deployment):
            return self._report(deployment, history.current(deployment, replicasets), replicasets)
        if self._note_pause(deployment):
            return None
        if deployment["spec"].get("paused") or rolling.is_scaling(deployment, replicasets):
            return self._scale(deployment, replicasets)
        if (deployment["spec"].get("strategy") or {}).get("type") == "Recreate":
            return self._recreate(deployment, replicasets)
        return self._roll(deployment, replicasets)

    def _roll(self, deployment: Object, replicasets: list[Object]) -> float | None:
        newest = self._newest(deployment, replicasets)
        if newest is None:
            return None
        old = history.previous(deployment, replicasets, history.current(deployment, replicasets))
        everything = [*old, newest]
        steps = rolling.roll(rolling.bounds(deployment), newest, [one for one in old if rolling.replicas_of(one)])
        return self._finish(deployment, newest, everything, steps)

    def _recreate(self, deployment: Object, replicasets: list[Object]) -> float | None:
        found = history.current(deployment, replicasets)
        old = history.previous(deployment, replicasets, found)
        steps = rolling.recreate(old)
        if steps or any(self._has_running(one) for one in old):
            return self._finish(deployment, found, replicasets, steps)
        newest = self._newest(deployment, replicasets)
        if newest is None:
            return None
        wanted = rolling.bounds(deployment).wanted
        if rolling.replicas_of(newest) != wanted:
            steps = [rolling.Resize(newest, wanted, "no old pods are left")]
        return self._finish(deployment, newest, [*old, newest], steps)

    def _scale(self, deployment: Object, replicasets: list[Object]) -> float | None:
        newest = history.current(deployment, replicasets)
        old = history.previous(deployment, replicasets, newest)
        is_rolling = (deployment["spec"].get("strategy") or {}).get("type") != "Recreate"
        steps = rolling.scale(rolling.bounds(deployment), newest, old, rolling=is_rolling)
        again = self._finish(deployment, newest, replicasets, steps)
        if not steps:
            self._note_sizes(deployment, replicasets)
        return again

    def _finish(
        self, deployment: Object, newest: Object | None, everything: Sequence[Object], steps: Sequence[rolling.Resize]
    ) -> float | None:
        resized = {uid_of(step.replicaset): self._resize(deployment, step) for step in steps}
        present = [resized.get(uid_of(one), one) for one in everything]
        current = resized.get(uid_of(newest), newest) if newest else None
        again = self._report(deployment, current, present)
        if not steps and status.complete(deployment, deployment.get("status") or {}):
            self._clean(deployment, [one for one in present if one is not current])
        return again

    def _newest(self, deployment: Object, replicasets: Sequence[Object]) -> Object | None:
        """The ReplicaSet of the present template, made if need be; None if its name is taken (then try anew)."""
        found = history.current(deployment, replicasets)
        number = history.next_revision(history.previous(deployment, replicasets, found))
        if found is None:
            return self._create(deployment, replicasets, number)
        wanted = copy(found)
        wanted["metadata"]["annotations"] = history.current_annotations(deployment, found, number)
        limits = rolling.bounds(deployment)
        wanted["metadata"]["annotations"] |= history.sizes(limits.wanted, limits.limit)
        wanted["spec"]["minReadySeconds"] = deployment["spec"].get("minReadySeconds") or 0
        same_wait = int(found["spec"].get("minReadySeconds") or 0) == wanted["spec"]["minReadySeconds"]
        if wanted["metadata"]["annotations"] != annotations_of(found) or not same_wait:
            found = self.client.update(_REPLICASETS, wanted)
        self._note_revision(deployment, found)
        if status.has_deadline(deployment) and condition(deployment, "Progressing") is None:
            self._note_progress(deployment, "FoundNewReplicaSet", f'Found new replica set "{name_of(found)}"')
        return found

    def _create(self, deployment: Object, replicasets: Sequence[Object], number: int) -> Object | None:
        limits = rolling.bounds(deployment)
        recreate = (deployment["spec"].get("strategy") or {}).get("type") == "Recreate"
        size = rolling.initial_size(limits, replicasets, recreate=recreate)
        wanted = history.new_replicaset(deployment, size, limits.limit, number)
        try:
            made = self.client.create(_REPLICASETS, wanted)
        except AlreadyExists:
            return self._existing(deployment, wanted)
        except ApiError as error:
            message = f'Failed to create new replica set "{name_of(wanted)}": {error}'
            self._note_progress(deployment, "ReplicaSetCreateError", message, value="False")
            self.events.warning(deployment, "ReplicaSetCreateError", message)
            raise
        if size:
            message = f"Scaled up replica set {name_of(made)} from 0 to {size}"
            self.events.normal(deployment, "ScalingReplicaSet", message)
        self._note_revision(deployment, made)
        if status.has_deadline(deployment):
            self._note_progress(deployment, "NewReplicaSetCreated", f'Created new replica set "{name_of(made)}"')
        return made

    def _existing(self, deployment: Object, wanted: Object) -> Object | None:
        """The ReplicaSet whose name we wanted: ours unseen yet, or another's, which counts as a hash collision."""
        present = self.client.get(_REPLICASETS, name_of(wanted), namespace_of(wanted))
        owner = controller_of(present)
        if owner is not None and owner["uid"] == uid_of(deployment) and history.current(deployment, [present]):
            return present
        changed = copy(deployment)
        state = changed.setdefault("status", {})
        state["collisionCount"] = int(state.get("collisionCount") or 0) + 1
        self.client.update_status(_DEPLOYMENTS, changed)
        return None

    def _resize(self, deployment: Object, step: rolling.Resize) -> Object:
        limits = rolling.bounds(deployment)
        before = rolling.replicas_of(step.replicaset)
        changed = copy(step.replicaset)
        changed["spec"]["replicas"] = step.replicas
        annotations = changed["metadata"].setdefault("annotations", {})
        annotations.update(history.sizes(limits.wanted, limits.limit))
        stored = self.client.update(_REPLICASETS, changed)
        direction = "up" if step.replicas > before else "down"
        message = f"Scaled {direction} replica set {name_of(stored)} from {before} to {step.replicas}"
        self.events.normal(deployment, "ScalingReplicaSet", message)
        return stored

    def _note_sizes(self, deployment: Object, replicasets: Sequence[Object]) -> None:
        limits = rolling.bounds(deployment)
        wanted = history.sizes(limits.wanted, limits.limit)
        for one in replicasets:
            if rolling.replicas_of(one) and annotations_of(one) | wanted != annotations_of(one):
                changed = copy(one)
                changed["metadata"].setdefault("annotations", {}).update(wanted)
                self.client.update(_REPLICASETS, changed)

    def _note_revision(self, deployment: Object, newest: Object) -> None:
        number = annotations_of(newest).get(history.REVISION, "")
        if number and annotations_of(deployment).get(history.REVISION) != number:
            patch = {"metadata": {"uid": uid_of(deployment), "annotations": {history.REVISION: number}}}
            stored = self.client.patch(_DEPLOYMENTS, name_of(deployment), patch, namespace_of(deployment))
            deployment["metadata"] = stored["metadata"]

    def _note_progress(self, deployment: Object, reason: str, message: str, *, value: str = "True") -> None:
        now = self.runtime.time()
        state = deployment.setdefault("status", {})
        state["conditions"] = copy({"all": state.get("conditions") or []})["all"]
        status.set_condition(state, "Progressing", value, reason, message, now)

    def _note_pause(self, deployment: Object) -> bool:
        state = copy(deployment.get("status") or {})
        if not status.pausing(deployment, state, self.runtime.time()):
            return False
        self.client.update_status(_DEPLOYMENTS, copy(deployment) | {"status": state})
        return True

    def _report(self, deployment: Object, newest: Object | None, everything: Sequence[Object]) -> float | None:
        now = self.runtime.time()
        shown = self._deployments.get(key_of(deployment)) or deployment
        state = status.calculate(deployment, newest, everything, rolling.bounds(deployment), now)
        status.progress(deployment, state, newest, everything, now)
        if state != (shown.get("status") or {}):
            self.client.update_status(_DEPLOYMENTS, copy(deployment) | {"status": state})
        return status.seconds_to_deadline(deployment, state, now)

    def _clean(self, deployment: Object, old: Sequence[Object]) -> None:
        for one in history.superfluous(deployment, old):
            try:
                self.client.delete(_REPLICASETS, name_of(one), namespace_of(one), uid=uid_of(one))
            except NotFound:
                continue

    def _has_running(self, replicaset: Object) -> bool:
        return any(phase_of(pod) not in ("Succeeded", "Failed") for pod in owned(self._pods, uid_of(replicaset)))

    def _on_pod(self, old: Object | None, new: Object | None) -> None:
        """Recreate waits for the last old pod to go."""
        owner = controller_of(old) if old is not None and new is None else None
        if old is None or owner is None or owner["kind"] != "ReplicaSet":
            return
        replicaset = self._replicasets.get(f"{namespace_of(old)}/{owner['name']}")
        for key in self._owner(replicaset) if replicaset else ():
            self.queue.add(key)
