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
_LARGEST_ID = 2**31 - 1
_HEALTH = ("Healthy", "Unhealthy", "Unknown")
_NO_CLAIM = (
    "must match one of the container's resource claims in a format 'claim:<claimName>/<request>' or "
    "'claim:<claimName>' if request is empty"
)


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
        found += _users(status, old["spec"], field) + _devices(status, old["spec"], field)
    found += _claims(status, old["spec"])
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


def _claims(status: Object, spec: Object) -> Causes:
    """Which objects the pod's claims of devices are; each claim is one of the pod's and is told once."""
    known = {claim.get("name") for claim in spec.get("resourceClaims") or []}
    told: set[str] = set()
    found: Causes = []
    for path, one in fields.each(status, "resourceClaimStatuses", "status"):
        name, claim = one.get("name") or "", one.get("resourceClaimName")
        if name not in known:
            detail = "must match the name of an entry in `spec.resourceClaims`"
            found.append(fields.invalid(f"{path}.name", name, detail))
        if name in told:
            found.append(fields.duplicate(f"{path}.name", name))
        told.add(name)
        if claim is not None:
            found += fields.problems(f"{path}.name", claim, names.dns_subdomain_problems)
    return found


def _users(status: Object, spec: Object, field: str) -> Causes:
    """As whom the containers began."""
    windows = (spec.get("os") or {}).get("name") == "windows"
    found: Causes = []
    for path, one in fields.each(status, field, "status"):
        user = (one.get("user") or {}).get("linux")
        if user is None:
            continue
        if windows:
            found.append(fields.forbidden(f"{path}.linux", "cannot be set for a windows pod"))
            continue
        for name in ("uid", "gid"):
            found += fields.in_range(f"{path}.linux.{name}", user.get(name), 0, _LARGEST_ID)
        for index, group in enumerate(user.get("supplementalGroups") or []):
            found += fields.in_range(f"{path}.linux.supplementalGroups[{index}]", group, 0, _LARGEST_ID)
    return found


def _devices(status: Object, spec: Object, field: str) -> Causes:
    """How the devices are that containers were given: those that they asked for, each told once."""
    described = {one.get("name"): one for one in spec.get(_CONTAINERS[field]) or []}
    found: Causes = []
    for path, one in fields.each(status, field, "status"):
        if one.get("allocatedResourcesStatus") and field.startswith("ephemeral"):
            found.append(
                fields.forbidden(f"{path}.allocatedResourcesStatus", "must not be specified in container status")
            )
            continue
        container = described.get(one.get("name"))
        for place, given in fields.each(one, "allocatedResourcesStatus", path):
            if container is not None:
                found += _asked_for(f"{place}.name", given.get("name") or "", container.get("resources") or {})
            found += _health(place, given)
    return found


def _asked_for(path: str, name: str, wanted: Object) -> Causes:
    if not name.startswith("claim:"):
        detail = "must match one of the container's resource requests"
        return [] if name in (wanted.get("requests") or {}) else [fields.invalid(path, name, detail)]
    claims = [(claim.get("name") or "", claim.get("request") or "") for claim in wanted.get("claims") or []]
    known = {f"claim:{claim}/{request}" if request else f"claim:{claim}" for claim, request in claims}
    return [] if name in known else [fields.invalid(path, name, _NO_CLAIM)]


def _health(path: str, given: Object) -> Causes:
    found: Causes = []
    told: set[str] = set()
    for place, device in fields.each(given, "resources", path):
        health, identity = device.get("health") or "", device.get("resourceID") or ""
        if health not in _HEALTH:
            found.append(fields.not_supported(f"{place}.health", health, _HEALTH))
        if identity in told:
            found.append(fields.duplicate(f"{place}.resourceID", identity))
        told.add(identity)
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
