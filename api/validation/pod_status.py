"""Rules for changes of a pod's status.

Source: the original's ValidatePodStatusUpdate.
"""

from __future__ import annotations

from typing import Any

from api import names
from api.objects import Object
from api.restarts import may_start_over, restarts_after
from api.validation import fields
from api.validation.fields import Causes
from api.validation.service_addresses import ip_address

_SYSTEM_CONDITIONS = ("PodScheduled", "Ready", "Initialized")
_CONTAINERS = {
    "containerStatuses": "containers",
    "initContainerStatuses": "initContainers",
    "ephemeralContainerStatuses": "ephemeralContainers",
}
_ONE_OF_EACH = "may specify no more than one IP for each IP family"


def changed(new: Object, old: Object) -> Causes:
    """The status of a pod that had another one."""
    status, before = new.get("status") or {}, old.get("status") or {}
    found: Causes = []
    for index, condition in enumerate(status.get("conditions") or []):
        kind = condition.get("type") or ""
        if kind not in _SYSTEM_CONDITIONS:
            found += fields.problems(f"metadata.conditions[{index}].Type", kind, names.label_key_problems)
    if new["spec"].get("nodeName") != old["spec"].get("nodeName"):
        found.append(fields.forbidden("status.nodeName", "may not be changed directly"))
    nominated = status.get("nominatedNodeName")
    if nominated and nominated != before.get("nominatedNodeName"):
        found += fields.problems("status.nominatedNodeName", nominated, names.dns_subdomain_problems)
    if status.get("qosClass") and before.get("qosClass"):
        found += fields.unchanged("status.qosClass", status["qosClass"], before["qosClass"])
    for field in _CONTAINERS:
        found += _no_revival(status, before, old["spec"], field)
    found += _addresses("podIPs", status.get("podIPs") or [])
    hosts = status.get("hostIPs") or []
    if hosts and hosts[0].get("ip") != status.get("hostIP"):
        found.append(fields.invalid("status.hostIPs[0].ip", hosts[0].get("ip"), "must be equal to `hostIP`"))
    return found + _addresses("hostIPs", hosts)


def _no_revival(status: Object, before: Object, spec: Object, field: str) -> Causes:
    """A container that has ended for good does not run again."""
    ephemeral = field.startswith("ephemeral")
    if not ephemeral and (spec.get("restartPolicy") == "Always" or may_start_over(spec)):
        return []
    described = {one.get("name"): one for one in spec.get(_CONTAINERS[field]) or []}
    now = {one.get("name"): one for one in status.get(field) or []}
    found: Causes = []
    for index, ended in enumerate(before.get(field) or []):
        terminated = (ended.get("state") or {}).get("terminated")
        current, container = now.get(ended.get("name")), described.get(ended.get("name")) or {}
        if terminated is None or current is None:
            continue
        if not ephemeral and restarts_after(spec, container, int(terminated.get("exitCode") or 0)):
            continue
        if (current.get("state") or {}).get("terminated") is None:
            detail = "may not be transitioned to non-terminated state"
            found.append(fields.forbidden(f"status.{field}[{index}].state", detail))
    return found


def _addresses(field: str, addresses: list[Any]) -> Causes:
    texts = [str(one.get("ip") or "") for one in addresses]
    found: Causes = []
    for index, text in enumerate(texts):
        found += ip_address(f"status.{field}[{index}]", text)
    if len(texts) > 2 or (len(texts) == 2 and len({":" in text for text in texts}) < 2):
        found.append(fields.invalid(f"status.{field}", addresses, _ONE_OF_EACH))
    for index, text in enumerate(texts):
        if text in texts[:index]:
            found.append(fields.duplicate(f"status.{field}[{index}]", addresses[index]))
    return found
