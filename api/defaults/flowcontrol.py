"""Defaults of flowcontrol.apiserver.k8s.io.

Source: "FlowSchema" and "PriorityLevelConfiguration" in the API reference.
"""

from __future__ import annotations

from api.defaults.fill import child, fill, fill_absent
from api.objects import Object


def _flow_schema(flow_schema: Object) -> None:
    fill(flow_schema["spec"], matchingPrecedence=1000)


def _priority_level(level: Object) -> None:
    spec = level["spec"]
    if spec.get("type") == "Exempt":
        fill_absent(child(spec, "exempt"), nominalConcurrencyShares=0, lendablePercent=0)
    limited = spec.get("limited")
    if not isinstance(limited, dict):
        return
    fill_absent(limited, nominalConcurrencyShares=30, lendablePercent=0)
    queuing = (limited.get("limitResponse") or {}).get("queuing")
    if isinstance(queuing, dict):
        fill(queuing, queues=64, handSize=8, queueLengthLimit=50)


DEFAULTERS = {"FlowSchema": _flow_schema, "PriorityLevelConfiguration": _priority_level}
