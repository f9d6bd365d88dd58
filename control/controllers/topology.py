"""Which zones the endpoints of a Service are for, when it asks for traffic by zone (`topology-mode: Auto`).

Each zone gets endpoints by its share of the nodes' processors: its own first, and what it lacks from zones that have
more than their share. Where that would leave a zone with much more traffic an endpoint than others have, nobody gets
hints, and traffic goes everywhere as without.

Invariant: pure; either every ready endpoint has exactly one zone, or none has.
Source: Kubernetes, "Topology Aware Routing"; KEP-2433.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping

from api.objects import Object, annotations_of, is_true, labels_of
from api.quantities import parse

ZONE = "topology.kubernetes.io/zone"
_MODES = ("service.kubernetes.io/topology-mode", "service.kubernetes.io/topology-aware-hints")
_CONTROL_PLANE = "node-role.kubernetes.io/control-plane"
# An endpoint may get this much more traffic than it would without zones.
_OVERLOAD = 0.2


def by_zone(service: Object) -> bool:
    """Whether the Service asks for it."""
    annotations = annotations_of(service)
    return any(annotations.get(name) in ("Auto", "auto") for name in _MODES)


def part_of(node: Object) -> tuple[bool, str, str]:
    """Whether the node counts, its zone, and its processors; "" for what it does not say."""
    counts = is_true(node, "Ready") and _CONTROL_PLANE not in labels_of(node)
    amount = ((node.get("status") or {}).get("allocatable") or {}).get("cpu")
    return counts, labels_of(node).get(ZONE, ""), str(amount or "")


def shares(nodes: Iterable[Object]) -> dict[str, float]:
    """Each zone's share of the processors of ready workers; none if one does not say, or there is one zone only."""
    found: Counter[str] = Counter()
    for node in nodes:
        counts, zone, amount = part_of(node)
        if not counts:
            continue
        if not zone or not amount:
            return {}
        found[zone] += parse(amount).milli()
    total = found.total()
    return {zone: part / total for zone, part in sorted(found.items())} if len(found) > 1 and total else {}


def hints(zones: Mapping[str, str], shares: Mapping[str, float]) -> dict[str, str]:
    """The zone that each endpoint is for, by its address; `zones` says where each is. Nothing if it cannot be fair."""
    count = len(zones)
    minimum = {zone: math.ceil(share * count / (1 + _OVERLOAD)) for zone, share in shares.items()}
    if not shares or set(zones.values()) - shares.keys() or len(shares) > count or sum(minimum.values()) > count:
        return {}
    found = dict(sorted(zones.items()))
    held = Counter(found.values())
    for zone, least in minimum.items():
        while held[zone] < least:
            giver = max(shares, key=lambda one: held[one] - minimum[one])
            moved = next(address for address, present in found.items() if present == giver)
            found[moved] = zone
            held[giver] -= 1
            held[zone] += 1
    return found
