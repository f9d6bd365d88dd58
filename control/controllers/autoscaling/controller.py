"""HorizontalPodAutoscaler: asks the metrics, sizes the workload through its scale, and says what it did and why.

Invariant: a size is only written if the metrics were there to warrant it, or to keep it within its bounds.
Source: kubernetes pkg/controller/podautoscaler/horizontal.go (conditions, reasons, events).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from api.errors import ApiError, Conflict
from api.loop import Loop
from api.objects import Object, copy, is_deleting, key_of, labels_of, namespace_of, set_condition
from api.quantities import Quantity, parse
from api.resources import Resource
from api.runtime import timestamp
from api.selectors import LabelSelector
from api.transport import TransportError
from control.controllers.autoscaling import replicas
from control.controllers.autoscaling.behaviour import History, normalize
from control.controllers.autoscaling.metrics import Metrics
from control.controllers.autoscaling.replicas import NoMetrics, Proposal, Tolerance
from control.controllers.autoscaling.words import failure, name_of_metric, source_of
from control.controllers.context import Context
from control.controllers.scales import Scalers

_RESOURCE = "horizontalpodautoscalers.autoscaling"


class NotScaled(Exception):
    """The attempt ends here; what was wrong stands in the conditions already. One sentence why."""


@dataclass(frozen=True, slots=True)
class Target:
    """What is scaled: its resource and scale, and its pods by their selector."""

    resource: Resource
    scale: Object
    selector: str
    pods: Sequence[Object]

    @property
    def size(self) -> int:
        """The replicas asked for now."""
        return int(self.scale["spec"].get("replicas") or 0)


@dataclass(frozen=True, slots=True)
class Asked:
    """What one metric asks for: `name` says in the event what it was, `status` goes into `currentMetrics`."""

    replicas: int
    name: str
    status: Object


class HorizontalPodAutoscalerController(Loop):
    """The shell."""

    name: ClassVar[str] = "horizontal-pod-autoscaler"
    workers = 5

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._period = context.options.autoscaler_sync_period
        self._autoscalers = context.informers.of(_RESOURCE)
        self._autoscalers.add_handler(self._on_autoscaler)
        self._pods = context.informers.of("pods")
        self._pods.add_index("namespace", lambda pod: (namespace_of(pod),))
        self._metrics = Metrics(context.client)
        self._scalers = Scalers(context.client)
        self._history: dict[str, History] = {}
        # The pods that each autoscaler last found to be its target's.
        self._selectors: dict[str, LabelSelector] = {}

    def reconcile(self, key: str) -> float | None:
        """One look at the metrics, and one step."""
        shown = self._autoscalers.get(key)
        if shown is None or is_deleting(shown):
            self._history.pop(key, None)
            self._selectors.pop(key, None)
            return None
        autoscaler = copy(shown)
        autoscaler.setdefault("status", {}).setdefault("conditions", [])
        try:
            self._step(key, autoscaler)
        except NotScaled as error:
            self.events.warning(autoscaler, *_event_of(error))
        if autoscaler["status"] != (shown.get("status") or {}):
            autoscaler["status"]["observedGeneration"] = shown["metadata"].get("generation", 0)
            try:
                self.client.update_status(_RESOURCE, autoscaler)
            except Conflict:
                return 0.1
        return self._period

    def _on_autoscaler(self, old: Object | None, new: Object | None) -> None:
        """Only what is asked for brings the next look forward: our own status does not."""
        if old is None or new is None or old["metadata"].get("generation") != new["metadata"].get("generation"):
            self.queue.add(key_of(new or old or {}))

    def _step(self, key: str, autoscaler: Object) -> None:
        spec, now = autoscaler["spec"], self.runtime.time()
        target = self._target(autoscaler)
        current, least, most = target.size, int(spec.get("minReplicas", 1)), int(spec["maxReplicas"])
        history = self._history.setdefault(key, History([(now, current)]))
        status = autoscaler["status"]
        status["currentReplicas"] = current
        desired, reason = current, ""
        if current == 0 and least != 0:
            why = "scaling is disabled since the replica count of the target is zero"
            self._condition(autoscaler, "ScalingActive", "False", "ScalingDisabled", why)
        elif current > most:
            desired, reason = most, "Current number of replicas above Spec.MaxReplicas"
        elif current < least:
            desired, reason = least, "Current number of replicas below Spec.MinReplicas"
        else:
            asked = self._ask_all(autoscaler, target)
            wanted = normalize(spec, history, current, asked.replicas, now)
            self._condition(autoscaler, "AbleToScale", *wanted.able)
            self._condition(autoscaler, "ScalingLimited", *wanted.limited)
            desired = wanted.replicas
            reason = f"{asked.name} above target" if asked.replicas > current else "All metrics below target"
        if desired != current:
            self._rescale(autoscaler, target, desired, reason)
            history.rescaled(current, desired, now)
            status["lastScaleTime"] = timestamp(now)
        status["desiredReplicas"] = desired

    def _target(self, autoscaler: Object) -> Target:
        reference = autoscaler["spec"]["scaleTargetRef"]
        try:
            resource = self._scalers.resource(reference)
            scale = self._scalers.scale(reference, namespace_of(autoscaler))
        except (ApiError, TransportError, LookupError) as error:
            why = f"the HPA controller was unable to get the target's current scale: {error}"
            self._condition(autoscaler, "AbleToScale", "False", "FailedGetScale", why)
            raise NotScaled("FailedGetScale", str(error)) from error
        why = "the HPA controller was able to get the target's current scale"
        self._condition(autoscaler, "AbleToScale", "True", "SucceededGetScale", why)
        selector = str((scale.get("status") or {}).get("selector") or "")
        pods = self._pods.by_index("namespace", namespace_of(autoscaler))
        chosen = LabelSelector.parse(selector)
        return Target(resource, scale, selector, [pod for pod in pods if selector and chosen.matches(labels_of(pod))])

    def _ask_all(self, autoscaler: Object, target: Target) -> Asked:
        """What the metrics ask for together: the most of what any of them does."""
        if not target.selector:
            why = "the HPA target's scale is missing a selector"
            self._condition(autoscaler, "ScalingActive", "False", "InvalidSelector", why)
            raise NotScaled("SelectorRequired", "selector is required")
        self._insist_on_sole_control(autoscaler, target)
        metrics = autoscaler["spec"].get("metrics") or []
        found: list[Asked] = []
        failed: list[tuple[str, str, str]] = []
        # Readers find a metric's state at the place of its specification.
        statuses: list[Object] = [{"type": ""} for _ in metrics]
        for index, metric in enumerate(metrics):
            try:
                found.append(self._ask(autoscaler, target, metric))
                statuses[index] = found[-1].status
            except NoMetrics as error:
                failed.append(failure(metric, str(error)))
                self.events.warning(autoscaler, *failed[-1][:2])
        autoscaler["status"]["currentMetrics"] = statuses
        best = max(found, key=lambda one: one.replicas, default=None)
        if best is None or (failed and best.replicas < target.size):
            reason, why, total = failed[0]
            message = f"the HPA was unable to compute the replica count: {why}"
            self._condition(autoscaler, "ScalingActive", "False", reason, message)
            total = f"invalid metrics ({len(failed)} invalid out of {len(metrics)}), first error is: {total}"
            raise NotScaled("FailedComputeMetricsReplicas", total)
        why = f"the HPA was able to successfully calculate a replica count from {best.name}"
        self._condition(autoscaler, "ScalingActive", "True", "ValidMetricFound", why)
        return best

    def _insist_on_sole_control(self, autoscaler: Object, target: Target) -> None:
        """Two autoscalers of the same pods would undo each other's work. Raises NotScaled."""
        self._selectors[key_of(autoscaler)] = LabelSelector.parse(target.selector)
        namespace = namespace_of(autoscaler)
        rivals = [
            key
            for key, selector in sorted(self._selectors.items())
            if key.partition("/")[0] == namespace and any(selector.matches(labels_of(pod)) for pod in target.pods)
        ]
        if len(rivals) > 1:
            why = f"pods by selector {target.selector} are controlled by multiple HPAs: [{' '.join(rivals)}]"
            self.events.warning(autoscaler, "AmbiguousSelector", why)
            self._condition(autoscaler, "ScalingActive", "False", "AmbiguousSelector", why)
            raise NotScaled("FailedComputeMetricsReplicas", why)

    def _ask(self, autoscaler: Object, target: Target, metric: Object) -> Asked:
        namespace, tolerance = namespace_of(autoscaler), _tolerance(autoscaler["spec"])
        kind, source, name = metric["type"], source_of(metric), name_of_metric(metric)
        match kind:
            case "Resource" | "ContainerResource":
                found, current = self._ask_resource(namespace, target, source, tolerance)
            case "Pods":
                samples = self._metrics.pods(namespace, target.selector, source["metric"])
                goal = parse(source["target"]["averageValue"]).milli()
                now = self.runtime.time()
                found = replicas.by_average(target.size, goal, target.pods, samples, "", tolerance, now)
                current = {"averageValue": _milli(found.usage)}
            case "Object":
                described = source["describedObject"]
                try:
                    resource = self._scalers.resource(described)
                except (ApiError, TransportError, LookupError) as error:
                    raise NoMetrics(str(error)) from error
                value = self._metrics.described(namespace, resource, described["name"], source["metric"])
                found, current = _by_total(target, source["target"], value, tolerance)
            case _:
                value = self._metrics.external(namespace, source["metric"])
                found, current = _by_total(target, source["target"], value, tolerance)
        return Asked(found.replicas, name, _status(kind, source, current))

    def _ask_resource(
        self, namespace: str, target: Target, source: Object, tolerance: Tolerance
    ) -> tuple[Proposal, Object]:
        resource, container, goal = source["name"], source.get("container", ""), source["target"]
        samples = self._metrics.resource(namespace, target.selector, resource, container)
        now = self.runtime.time()
        if goal.get("averageValue") is not None:
            wanted = parse(goal["averageValue"]).milli()
            found = replicas.by_average(target.size, wanted, target.pods, samples, resource, tolerance, now)
            return found, {"averageValue": _amount(resource, found.usage)}
        wanted = int(goal["averageUtilization"])
        found = replicas.by_utilization(target.size, wanted, target.pods, samples, resource, tolerance, now, container)
        return found, {"averageUtilization": found.utilization, "averageValue": _amount(resource, found.usage)}

    def _rescale(self, autoscaler: Object, target: Target, desired: int, reason: str) -> None:
        scale = target.scale | {"spec": target.scale["spec"] | {"replicas": desired}}
        try:
            self.client.update(target.resource, scale, subresource="scale")
        except (ApiError, TransportError) as error:
            why = f"the HPA controller was unable to update the target scale: {error}"
            self._condition(autoscaler, "AbleToScale", "False", "FailedUpdateScale", why)
            raise NotScaled("FailedRescale", f"New size: {desired}; reason: {reason}; error: {error}") from error
        why = f"the HPA controller was able to update the target scale to {desired}"
        self._condition(autoscaler, "AbleToScale", "True", "SucceededRescale", why)
        self.events.normal(autoscaler, "SuccessfulRescale", f"New size: {desired}; reason: {reason}")

    def _condition(self, autoscaler: Object, kind: str, value: str, reason: str, message: str) -> None:
        new = {"type": kind, "status": value, "reason": reason, "message": message}
        set_condition(autoscaler["status"]["conditions"], new, timestamp(self.runtime.time()))


def _event_of(error: NotScaled) -> tuple[str, str]:
    reason, message = error.args
    return reason, message


def _by_total(target: Target, goal: Object, value: int, tolerance: Tolerance) -> tuple[Proposal, Object]:
    if goal.get("value") is not None:
        found = replicas.by_value(target.size, parse(goal["value"]).milli(), value, target.pods, tolerance)
        return found, {"value": _milli(found.usage)}
    size = int((target.scale.get("status") or {}).get("replicas") or 0)
    found = replicas.by_value_per_pod(size, parse(goal["averageValue"]).milli(), value, tolerance)
    return found, {"averageValue": _milli(found.usage)}


def _status(kind: str, source: Object, current: Object) -> Object:
    kept = {name: source[name] for name in ("name", "container", "metric", "describedObject") if name in source}
    return {"type": kind, kind[0].lower() + kind[1:]: kept | {"current": current}}


def _tolerance(spec: Object) -> Tolerance:
    behaviour: dict[str, Any] = spec.get("behavior") or {}
    parts = [(behaviour.get(direction) or {}).get("tolerance") for direction in ("scaleDown", "scaleUp")]
    down, up = (0.1 if part is None else parse(part).milli() / 1000 for part in parts)
    return Tolerance(down, up)


def _milli(thousandths: int) -> str:
    return str(Quantity(thousandths * 10**6))


def _amount(resource: str, thousandths: int) -> str:
    return str(Quantity(thousandths * 10**6, "BinarySI" if resource == "memory" else "DecimalSI"))
