"""ReplicaSet: keeps as many pods of one template as asked for. Also serves ReplicationControllers.

Invariant: never more than the missing number is created, and never more than the surplus deleted, whatever the
informer has not shown yet.
Source: kubernetes pkg/controller/replicaset (reasons, events, order of deletion, status).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from api.errors import ApiError, Forbidden, NotFound
from api.events import EventRecorder
from api.loop import Loop, owner_keys
from api.objects import Object, controller_of, copy, is_deleting, key_of, name_of, namespace_of, uid_of
from api.resources import find
from api.runtime import timestamp
from api.selectors import LabelSelector
from control.controllers.batches import BURST_REPLICAS, slow_start
from control.controllers.claims import Claimer, owned
from control.controllers.context import Context
from control.controllers.ledger import Ledger
from control.controllers.pods import (
    available_in,
    deletion_order,
    from_template,
    has_labels,
    is_active,
    is_ready,
    phase_of,
)


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do for one ReplicaSet: `create` so many pods, `delete` these, and why."""

    create: int
    delete: tuple[Object, ...]
    reason: str


def decide(wanted: int, pods: Sequence[Object], related: Sequence[Object], now: float) -> Plan:
    """Compare the active ones of `pods` with `wanted`; `related` are the active pods of sibling ReplicaSets."""
    active = [pod for pod in pods if is_active(pod)]
    missing = wanted - len(active)
    if missing > 0:
        return Plan(min(missing, BURST_REPLICAS), (), f"{len(active)} of {wanted} pods exist")
    surplus = min(-missing, BURST_REPLICAS)
    if not surplus:
        return Plan(0, (), f"all {wanted} pods exist")
    chosen = deletion_order(active, related, now)[:surplus]
    return Plan(0, tuple(chosen), f"{len(active)} pods exist and {wanted} are wanted")


def status(
    replicaset: Object, pods: Sequence[Object], failure: Object | None, now: float
) -> tuple[Object, float | None]:
    """(the status that `pods` add up to, seconds until one of them becomes available or None)."""
    spec = replicaset["spec"]
    template_labels = ((spec.get("template") or {}).get("metadata") or {}).get("labels") or {}
    active = [pod for pod in pods if is_active(pod)]
    waits = [available_in(pod, int(spec.get("minReadySeconds") or 0), now) for pod in active]
    counts = {
        "fullyLabeledReplicas": sum(1 for pod in active if has_labels(pod, template_labels)),
        "readyReplicas": sum(1 for pod in active if is_ready(pod)),
        "availableReplicas": sum(1 for wait in waits if wait == 0),
        "terminatingReplicas": sum(
            1 for pod in pods if is_deleting(pod) and phase_of(pod) not in ("Succeeded", "Failed")
        ),
    }
    found: Object = {"replicas": len(active)} | {name: value for name, value in counts.items() if value}
    found["observedGeneration"] = replicaset["metadata"].get("generation", 0)
    conditions = [
        one for one in (replicaset.get("status") or {}).get("conditions") or [] if one["type"] != "ReplicaFailure"
    ]
    if failure is not None:
        conditions.append(failure)
    if conditions:
        found["conditions"] = conditions
    soon = [wait for wait in waits if wait]
    return found, min(soon) if soon else None


class ReplicaSetController(Loop):
    """The shell around `decide`."""

    name: ClassVar[str] = "replicaset-controller"
    resource: ClassVar[str] = "replicasets.apps"
    # What the status of this kind does not have.
    untold: ClassVar[tuple[str, ...]] = ()
    workers = 5

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._resource = find(self.resource)
        self._sets = self.watch(self.resource)
        self._pods = self.watch("pods", self._pod_keys)
        self._claimer = Claimer(context.client, self._pods, self._resource)
        self._ledger = Ledger(self._pods)
        self._by_owner = owner_keys(self._resource.kind, self._resource.group)
        self._sets.add_index("owner", _owner_uid)

    def reconcile(self, key: str) -> float | None:
        """Claim, create or delete, and report."""
        found = self._sets.get(key)
        if found is None:
            return None
        selector = self.selector(found)
        pods = self._ledger.view(key, self._claimer.claim(found, selector))
        now = self.runtime.time()
        plan = decide(int(found["spec"].get("replicas", 1)), pods, self._related(found, pods), now)
        error: ApiError | None = None
        if not is_deleting(found):
            error = self._carry_out(found, plan)
            pods = self._ledger.view(key, self._claimer.claim(found, selector)) if plan.create or plan.delete else pods
        again = self._report(found, pods, _failure(found, plan, error, now))
        if error is not None:
            raise error
        return again

    def selector(self, owner: Object) -> LabelSelector:
        """Which pods the owner means."""
        return LabelSelector.from_json(owner["spec"]["selector"])

    def _pod_keys(self, pod: Object) -> Sequence[str]:
        if controller_of(pod) is not None:
            return tuple(self._by_owner(pod))
        labels = pod["metadata"].get("labels") or {}
        return [
            key_of(one) for one in self._sets.items(namespace_of(pod)) if labels and self.selector(one).matches(labels)
        ]

    def _related(self, owner: Object, pods: Sequence[Object]) -> list[Object]:
        parent = controller_of(owner)
        if parent is None:
            return [pod for pod in pods if is_active(pod)]
        siblings = self._sets.by_index("owner", parent["uid"])
        return [pod for one in siblings for pod in owned(self._pods, uid_of(one)) if is_active(pod)]

    def _carry_out(self, owner: Object, plan: Plan) -> ApiError | None:
        try:
            if plan.create:
                slow_start(self.runtime, self.name, range(plan.create), lambda _: self._create(owner))
            if plan.delete:
                slow_start(self.runtime, self.name, plan.delete, lambda pod: self._delete(owner, pod))
        except ApiError as error:
            return error
        return None

    def _create(self, owner: Object) -> None:
        create_pod(self, self._ledger, owner, self._resource.api_version, self._resource.kind)

    def _delete(self, owner: Object, pod: Object) -> None:
        delete_pod(self, self._ledger, owner, pod)

    def _report(self, owner: Object, pods: Sequence[Object], failure: Object | None) -> float | None:
        found, again = status(owner, pods, failure, self.runtime.time())
        wanted = {name: value for name, value in found.items() if name not in self.untold}
        if wanted != (owner.get("status") or {}):
            changed = copy(owner)
            changed["status"] = wanted
            self.client.update_status(self._resource, changed)
        return again


def create_pod(
    loop: Loop, ledger: Ledger, owner: Object, api_version: str, kind: str, pod: Object | None = None
) -> None:
    """Create a pod for `owner` (from its template unless `pod` is given), remember and tell it."""
    wanted = pod or from_template(owner["spec"]["template"], owner, api_version=api_version, kind=kind)
    try:
        made = loop.client.create("pods", wanted)
    except ApiError as error:
        if not namespace_ends(error):
            tell(loop.events, owner, "FailedCreate", f"Error creating: {error}")
        raise
    ledger.created(key_of(owner), made)
    tell(loop.events, owner, "SuccessfulCreate", f"Created pod: {name_of(made)}")


def delete_pod(loop: Loop, ledger: Ledger, owner: Object, pod: Object) -> None:
    """Delete a pod of `owner`, remember and tell it; one that is gone already is fine."""
    try:
        loop.client.delete("pods", name_of(pod), namespace_of(pod), uid=uid_of(pod))
    except NotFound:
        return
    except ApiError as error:
        tell(loop.events, owner, "FailedDelete", f"Error deleting: {error}")
        raise
    ledger.deleted(key_of(owner), pod)
    tell(loop.events, owner, "SuccessfulDelete", f"Deleted pod: {name_of(pod)}")


def tell(events: EventRecorder, owner: Object, reason: str, message: str) -> None:
    """An event about the owner; a warning if the reason speaks of a failure."""
    record: Callable[[Object, str, str], None] = events.warning if reason.startswith("Failed") else events.normal
    record(owner, reason, message)


def namespace_ends(error: ApiError) -> bool:
    """Whether nothing can be made there any more because the namespace goes."""
    return isinstance(error, Forbidden) and any(cause.reason == "NamespaceTerminating" for cause in error.causes)


def _failure(owner: Object, plan: Plan, error: ApiError | None, now: float) -> Object | None:
    if error is None:
        return None
    reason = "FailedCreate" if plan.create else "FailedDelete"
    for old in (owner.get("status") or {}).get("conditions") or []:
        if old["type"] == "ReplicaFailure" and (old["reason"], old["message"]) == (reason, error.message):
            return dict(old)
    return {
        "type": "ReplicaFailure",
        "status": "True",
        "reason": reason,
        "message": error.message,
        "lastTransitionTime": timestamp(now),
    }


def _owner_uid(obj: Object) -> Sequence[str]:
    owner = controller_of(obj)
    return (owner["uid"],) if owner else ()
