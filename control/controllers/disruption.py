"""Disruption: keeps the status of PodDisruptionBudgets true, by which evictions are allowed or refused.

Invariant: a budget that cannot be computed allows nothing.
Source: kubernetes pkg/controller/disruption (expected count from the controllers' scale, disrupted pods, conditions).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from api.errors import ApiError, NotFound
from api.loop import Loop
from api.objects import (
    Object,
    controller_of,
    copy,
    is_deleting,
    key_of,
    labels_of,
    name_of,
    namespace_of,
    set_condition,
)
from api.runtime import parse_timestamp, timestamp
from api.selectors import LabelSelector
from api.transport import TransportError
from control.controllers.autoscaling.words import selector_text
from control.controllers.context import Context
from control.controllers.deployment.rolling import scaled
from control.controllers.pods import is_ready, phase_of
from control.controllers.scales import Scalers

_RESOURCE = "poddisruptionbudgets.policy"
_OWNERS = {
    ("apps", "ReplicaSet"): "replicasets.apps",
    ("apps", "Deployment"): "deployments.apps",
    ("apps", "StatefulSet"): "statefulsets.apps",
    ("", "ReplicationController"): "replicationcontrollers",
}
# An eviction that was granted but after which the pod did not begin to go counts for nothing after this long.
_DISRUPTED_FOR = 120.0
_UNMANAGED = (
    "Pods selected by this PodDisruptionBudget (selector: {selector}) were found to be unmanaged. As a result, the "
    "status of the PDB cannot be calculated correctly, which may result in undefined behavior. To account for these "
    'pods please set ".spec.minAvailable" field of the PDB to an integer value.'
)


class NoScale(Exception):
    """Pods of the budget have a controller whose size is not known; one sentence which."""


@dataclass(frozen=True, slots=True)
class Numbers:
    """How many pods there should be, must be healthy, and are."""

    expected: int
    desired: int
    healthy: int

    @property
    def allowed(self) -> int:
        """How many may be disrupted now."""
        return max(0, self.healthy - self.desired) if self.expected else 0


def compute(budget: Object, pods: Sequence[Object], scales: Iterable[int], disrupted: Mapping[str, str]) -> Numbers:
    """The numbers of a budget; `scales` are the sizes of the controllers of `pods`."""
    spec = budget["spec"]
    healthy = sum(1 for pod in pods if _healthy(pod) and name_of(pod) not in disrupted)
    if spec.get("maxUnavailable") is not None:
        expected = sum(scales)
        return Numbers(expected, max(0, expected - scaled(spec["maxUnavailable"], expected, up=True)), healthy)
    least = spec.get("minAvailable", 1)
    if isinstance(least, str):
        expected = sum(scales)
        return Numbers(expected, scaled(least, expected, up=True), healthy)
    return Numbers(len(pods), int(least), healthy)


def needs_scale(budget: Object) -> bool:
    """Whether the budget is relative to the sizes of controllers."""
    spec = budget["spec"]
    return spec.get("maxUnavailable") is not None or isinstance(spec.get("minAvailable"), str)


def still_disrupted(budget: Object, pods: Iterable[Object], now: float) -> dict[str, str]:
    """Of the evictions granted lately, those whose pods have not begun to go yet."""
    noted: dict[str, str] = (budget.get("status") or {}).get("disruptedPods") or {}
    present = {name_of(pod) for pod in pods if not is_deleting(pod)}
    return {
        name: moment
        for name, moment in noted.items()
        if name in present and parse_timestamp(moment) + _DISRUPTED_FOR > now
    }


def _healthy(pod: Object) -> bool:
    return is_ready(pod) and not is_deleting(pod)


class DisruptionController(Loop):
    """The shell."""

    name = "disruption-controller"
    workers = 2

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._budgets = self.watch(_RESOURCE)
        self._pods = context.informers.of("pods")
        self._pods.add_index("namespace", lambda pod: (namespace_of(pod),))
        self._pods.add_handler(self._on_pod)
        self._scalers = Scalers(context.client)
        self._owners = {kind: context.informers.of(resource) for kind, resource in _OWNERS.items()}
        for informer in self._owners.values():
            informer.add_handler(self._on_owner)

    def reconcile(self, key: str) -> float | None:
        """Compute and write the budget's status."""
        budget = self._budgets.get(key)
        if budget is None or is_deleting(budget):
            return None
        selector = LabelSelector.from_json(budget["spec"].get("selector"))
        living = self._pods.by_index("namespace", namespace_of(budget))
        pods = [
            pod for pod in living if selector.matches(labels_of(pod)) and phase_of(pod) not in ("Succeeded", "Failed")
        ]
        now = self.runtime.time()
        disrupted = still_disrupted(budget, pods, now)
        try:
            scales = self._scales(budget, pods) if needs_scale(budget) else []
        except NoScale as error:
            self.events.warning(
                budget, "CalculateExpectedPodCountFailed", f"Failed to calculate the number of expected pods: {error}"
            )
            self._write_failure(budget, now, str(error))
            return None
        if not pods:
            self.events.normal(budget, "NoPods", "No matching pods found")
        self._write(budget, compute(budget, pods, scales, disrupted), disrupted, now)
        return _DISRUPTED_FOR if disrupted else None

    def _scales(self, budget: Object, pods: Iterable[Object]) -> list[int]:
        """The sizes of the controllers of these pods, each once; pods without one are told of. Raises NoScale."""
        found: dict[str, int] = {}
        unmanaged = False
        for pod in pods:
            reference = controller_of(pod)
            if reference is None:
                unmanaged = True
            elif reference["uid"] not in found:
                uid, size = self._scale_of(pod, reference)
                found[reference["uid"]] = 0
                found[uid] = size
        if unmanaged:
            text = selector_text(budget["spec"].get("selector"))
            self.events.warning(budget, "UnmanagedPods", _UNMANAGED.format(selector=text))
        return list(found.values())

    def _scale_of(self, pod: Object, reference: Object) -> tuple[str, int]:
        """(uid, replicas) of what sizes the pod's controller. Raises NoScale."""
        owner = self._owner_of(pod)
        if owner is not None:
            top = self._owner_of(owner) or owner
            return top["metadata"]["uid"], int(top["spec"].get("replicas", 1))
        try:
            scale = self._scalers.scale(reference, namespace_of(pod))
        except (ApiError, TransportError, LookupError) as error:
            raise NoScale(f'found no controllers for pod "{name_of(pod)}"') from error
        return reference["uid"], int(scale["spec"].get("replicas") or 0)

    def _owner_of(self, obj: Object) -> Object | None:
        reference = controller_of(obj)
        if reference is None:
            return None
        informer = self._owners.get((reference["apiVersion"].rpartition("/")[0], reference["kind"]))
        owner = informer.get(f"{namespace_of(obj)}/{reference['name']}") if informer else None
        return owner if owner is not None and owner["metadata"]["uid"] == reference["uid"] else None

    def _write_failure(self, budget: Object, now: float, why: str) -> None:
        """Nothing is allowed; the other numbers stay as they were."""
        changed = copy(budget)
        changed.setdefault("status", {})["disruptionsAllowed"] = 0
        self._store(budget, changed, Numbers(0, 0, 0), now, why)

    def _write(self, budget: Object, numbers: Numbers, disrupted: dict[str, str], now: float) -> None:
        changed = copy(budget)
        status = changed.setdefault("status", {})
        status |= {
            "currentHealthy": numbers.healthy,
            "desiredHealthy": numbers.desired,
            "disruptionsAllowed": numbers.allowed,
            "expectedPods": numbers.expected,
            "observedGeneration": budget["metadata"].get("generation", 0),
        }
        status["disruptedPods"] = disrupted
        if not disrupted:
            status.pop("disruptedPods")
        self._store(budget, changed, numbers, now, "")

    def _store(self, budget: Object, changed: Object, numbers: Numbers, now: float, failure: str) -> None:
        status = changed["status"]
        verdict = _condition(numbers, failure) | {"observedGeneration": budget["metadata"].get("generation", 0)}
        set_condition(status.setdefault("conditions", []), verdict, timestamp(now))
        if status == (budget.get("status") or {}):
            return
        try:
            self.client.update_status(_RESOURCE, changed)
        except NotFound:
            return

    def _on_pod(self, old: Object | None, new: Object | None) -> None:
        states = [one for one in (old, new) if one is not None]
        for budget in self._budgets.items(namespace_of(states[0])):
            selector = LabelSelector.from_json(budget["spec"].get("selector"))
            if any(selector.matches(labels_of(one)) for one in states):
                self.queue.add(key_of(budget))

    def _on_owner(self, old: Object | None, new: Object | None) -> None:
        if old is None or new is None or old["spec"].get("replicas") == new["spec"].get("replicas"):
            return
        for budget in self._budgets.items(namespace_of(new)):
            self.queue.add(key_of(budget))


def _condition(numbers: Numbers, failure: str) -> Object:
    if failure:
        return {"type": "DisruptionAllowed", "status": "False", "reason": "SyncFailed", "message": failure}
    if numbers.allowed:
        return {"type": "DisruptionAllowed", "status": "True", "reason": "SufficientPods", "message": ""}
    return {"type": "DisruptionAllowed", "status": "False", "reason": "InsufficientPods", "message": ""}
