"""Which pods make room for a critical one that the node must take.

Of those that may go, BestEffort pods go before Burstable and these before Guaranteed ones, no more of them than needed,
and of each class those that come nearest to what is short.

Invariant: pure; nobody is chosen unless together they free all that is short.
Source: kubelet/preemption getPodsToPreempt and getPodsToPreemptByDistance.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from agents.kubelet.pods import spec
from api.objects import Object
from api.pod_resources import requests_of

# By resource what is short: millicores of cpu, pods, bytes or pieces of the rest.
Needs = Mapping[str, int]
_CLASSES = ("BestEffort", "Burstable", "Guaranteed")


def making_room(pod: Object, others: Iterable[Object], needs: Needs) -> list[Object] | None:
    """The pods to end so that nothing is short any more; None if there are none."""
    candidates = [other for other in others if _may_end(pod, other)]
    if _without(needs, candidates):
        return None
    low, middle, high = ([other for other in candidates if spec.qos_class(other) == kind] for kind in _CLASSES)
    guaranteed = _nearest(high, _without(needs, low + middle))
    burstable = _nearest(middle, _without(needs, low + guaranteed))
    best_effort = _nearest(low, _without(needs, burstable + guaranteed))
    return best_effort + burstable + guaranteed


def described(needs: Needs) -> str:
    """What is short, as messages name it."""
    return f"[{''.join(f'(res: {name}, q: {amount}), ' for name, amount in needs.items())}]"


def _may_end(pod: Object, other: Object) -> bool:
    """Source: kubelet/types Preemptable."""
    if spec.is_critical(pod) and not spec.is_critical(other):
        return True
    ours, theirs = (holder["spec"].get("priority") for holder in (pod, other))
    return ours is not None and theirs is not None and int(ours) > int(theirs)


def _nearest(pods: Sequence[Object], needs: Needs) -> list[Object]:
    """Pods that free all that is short, each time the one that leaves the least; of like ones the smaller."""
    left, chosen = list(pods), []
    while needs:
        best = min(left, key=lambda other: (_distance(other, needs), _freed(other, "memory"), _freed(other, "cpu")))
        left.remove(best)
        chosen.append(best)
        needs = _without(needs, [best])
    return chosen


def _distance(pod: Object, needs: Needs) -> float:
    remaining = ((amount, max(0, amount - _freed(pod, name))) for name, amount in needs.items())
    return sum((rest / amount) ** 2 for amount, rest in remaining)


def _without(needs: Needs, pods: Sequence[Object]) -> dict[str, int]:
    """What is still short once these are gone."""
    left = {name: amount - sum(_freed(pod, name) for pod in pods) for name, amount in needs.items()}
    return {name: amount for name, amount in left.items() if amount > 0}


def _freed(pod: Object, resource: str) -> int:
    if resource == "pods":
        return 1
    amount = requests_of(pod["spec"]).get(resource)
    if amount is None:
        return 0
    return amount.milli() if resource == "cpu" else amount.value()
