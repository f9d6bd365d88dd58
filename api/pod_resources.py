"""What a pod as a whole asks for: one rule for who places it, who admits it and who counts it.

Invariant: pure. The scheduler, the kubelet and the quotas never differ about a pod, so that none takes what another
refuses.
Source: Kubernetes "Resource management for pods and containers", "Sidecar containers", "Pod overhead"; PodRequests and
PodLimits of component-helpers' resource package; pkg/apis/core/v1/helper/qos.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from api.objects import condition
from api.quantities import ZERO, Quantity, parse

Amounts = dict[str, Quantity]
# Those that a pod's quality of service depends on.
_GRADED = ("cpu", "memory")


def requests_of(spec: Mapping[str, Any], assumed: Mapping[str, Quantity] | None = None) -> Amounts:
    """What the pod takes of a node; a limit without a request is a request of the same size.

    `assumed` stands for what a container does not say a word about.
    """
    return _requested(spec, lambda one: {**(assumed or {}), **_requests(one)})


def qos_class(spec: Mapping[str, Any]) -> str:
    """Guaranteed, Burstable or BestEffort, from the requests and limits of cpu and memory; the pod's own go first."""
    holders: Sequence[Mapping[str, Any]] = [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]
    own = spec.get("resources") or {}
    if own.get("requests") or own.get("limits"):
        holders = [spec]
    requests: Amounts = {}
    limits: Amounts = {}
    guaranteed = bool(holders)
    for holder in holders:
        resources = holder.get("resources") or {}
        limited = _graded(resources.get("limits"))
        _add(limits, limited)
        _add(requests, _graded(resources.get("requests")))
        guaranteed = guaranteed and len(limited) == len(_GRADED)
    if not requests and not limits:
        return "BestEffort"
    return "Guaranteed" if guaranteed and requests == limits else "Burstable"


def _graded(quantities: Mapping[str, Any] | None) -> Amounts:
    found = {name: parse((quantities or {}).get(name, 0)) for name in _GRADED}
    return {name: amount for name, amount in found.items() if amount != ZERO}


def given(pod: Mapping[str, Any]) -> dict[str, Any]:
    """What the kubelet says that the containers have, by their names, before anything is asked anew."""
    status = pod.get("status") or {}
    statuses = [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]
    found = ((one["name"], (one.get("resources") or {}).get("requests")) for one in statuses)
    return {name: requests for name, requests in found if requests}


def taken_by(pod: Mapping[str, Any]) -> Amounts:
    """What a pod takes of the node that it is on.

    While it is being resized that is the greater of what it has and what it asks for; if it can never get that, what
    it has.
    """
    have, pending = given(pod), condition(pod, "PodResizePending") or {}
    whole = (pod.get("status") or {}).get("allocatedResources")
    if not have and not whole:
        return requests_of(pod["spec"])
    never = pending.get("reason") == "Infeasible"

    def taken(asked: Amounts, has: Mapping[str, Any] | None) -> Amounts:
        if not has:
            return asked
        found = _parsed(has)
        return found if never else {name: max(asked.get(name, ZERO), found.get(name, ZERO)) for name in asked | found}

    own = taken(_own_requests(pod["spec"]), whole)
    return _requested(pod["spec"], lambda one: taken(_requests(one), have.get(one["name"])), own)


def _own_requests(spec: Mapping[str, Any]) -> Amounts:
    return _parsed((spec.get("resources") or {}).get("requests") or {})


def _requested(
    spec: Mapping[str, Any], amounts: Callable[[Mapping[str, Any]], Amounts], own: Amounts | None = None
) -> Amounts:
    total = _together(spec, amounts)
    # The pod's own level, where given, stands above its containers' sum.
    total |= _own_requests(spec) if own is None else own
    _add(total, _parsed(spec.get("overhead") or {}))
    return total


def asked_together(spec: Mapping[str, Any]) -> Amounts:
    """What the containers ask for together; limits are no requests here."""
    return _together(spec, lambda one: _parsed((one.get("resources") or {}).get("requests") or {}))


def limits_of(spec: Mapping[str, Any]) -> Amounts:
    """What the pod may use at most; the overhead counts for those resources only that are limited."""
    total = _together(spec, _limits)
    total |= _parsed((spec.get("resources") or {}).get("limits") or {})
    _add(total, {name: more for name, more in _parsed(spec.get("overhead") or {}).items() if name in total})
    return total


def _together(spec: Mapping[str, Any], amounts: Callable[[Mapping[str, Any]], Amounts]) -> Amounts:
    """The containers and sidecars together, or the largest init step beside the sidecars before it."""
    total: Amounts = {}
    for container in spec.get("containers") or ():
        _add(total, amounts(container))
    sidecars: Amounts = {}
    peak: Amounts = {}
    for container in spec.get("initContainers") or ():
        if container.get("restartPolicy") == "Always":
            _add(sidecars, amounts(container))
        else:
            step = dict(sidecars)
            _add(step, amounts(container))
            for name, amount in step.items():
                peak[name] = max(peak.get(name, ZERO), amount)
    _add(total, sidecars)
    for name, amount in peak.items():
        total[name] = max(total.get(name, ZERO), amount)
    return total


def _requests(container: Mapping[str, Any]) -> Amounts:
    resources = container.get("resources") or {}
    return _parsed((resources.get("limits") or {}) | (resources.get("requests") or {}))


def _limits(container: Mapping[str, Any]) -> Amounts:
    return _parsed((container.get("resources") or {}).get("limits") or {})


def _parsed(quantities: Mapping[str, Any]) -> Amounts:
    return {name: parse(text) for name, text in quantities.items()}


def _add(total: Amounts, more: Mapping[str, Quantity]) -> None:
    for name, amount in more.items():
        total[name] = total[name] + amount if name in total else amount
