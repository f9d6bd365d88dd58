"""Requests and limits as cgroups understand them, and where a pod's cgroup lies.

Source: kubelet/cm helpers (MilliCPUToShares, MilliCPUToQuota, GetPodCgroupNameSuffix); qos policy's
GetContainerOOMScoreAdjust.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from agents.kubelet.pods import spec
from agents.kubelet.runtime.interface import CPU_PERIOD, Limits
from api.objects import Object
from api.quantities import parse

_MINIMUM_SHARES = 2
_MINIMUM_QUOTA = 1000


def container_limits(container: Object, pids: int) -> Limits:
    """CPU shares by the request, CPU quota and memory by the limit, and the node's limit of processes."""
    resources = container.get("resources") or {}
    limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
    requested = requests.get("cpu", limits.get("cpu"))
    shares = max(_MINIMUM_SHARES, parse(requested).milli() * 1024 // 1000) if requested else _MINIMUM_SHARES
    quota = 0
    if limits.get("cpu"):
        quota = max(_MINIMUM_QUOTA, parse(limits["cpu"]).milli() * CPU_PERIOD // 1000)
    memory = parse(limits["memory"]).value() if limits.get("memory") else 0
    return Limits(shares, quota, memory, pids)


def pod_limits(pod: Object) -> Limits:
    """What the pod as a whole may use: its own resources if it names some, else the sum of its containers'.

    A limit holds for the pod only if every container has one. Source: kubelet/cm ResourceConfigForPod.
    """
    own = pod["spec"].get("resources")
    if own:
        return container_limits({"resources": own}, 0)
    sidecars = [entry for entry in spec.init_containers(pod) if spec.is_sidecar(entry)]
    regular = [container_limits(entry, 0) for entry in [*spec.containers(pod), *sidecars]]
    once = [container_limits(entry, 0) for entry in spec.init_containers(pod) if not spec.is_sidecar(entry)]

    def total(amount: Callable[[Limits], int], *, limited: bool) -> int:
        amounts = [amount(entry) for entry in regular]
        if limited and not all(amounts):
            return 0
        return max([sum(amounts), *(amount(entry) for entry in once)])

    return Limits(
        cpu_shares=total(lambda entry: entry.cpu_shares, limited=False),
        cpu_quota=total(lambda entry: entry.cpu_quota, limited=True),
        memory=total(lambda entry: entry.memory, limited=True),
    )


def cgroup_parent(pod: Object, systemd: bool, root: str = "") -> str:
    """The pod's cgroup: ROOT/kubepods/burstable/podUID, or its systemd slice."""
    qos = spec.qos_class(pod).lower()
    uid = pod["metadata"]["uid"]
    if systemd:
        middle = "" if qos == "guaranteed" else f"-{qos}"
        return f"kubepods{middle}-pod{uid.replace('-', '_')}.slice"
    middle = "" if qos == "guaranteed" else f"/{qos}"
    return f"{root}/kubepods{middle}/pod{uid}"


def oom_score(pod: Object, container: Object, node_memory: int) -> int:
    """How willingly the kernel ends the container when memory is short."""
    qos = spec.qos_class(pod)
    if spec.is_critical(pod) or qos == "Guaranteed":
        return -997
    if qos == "BestEffort":
        return 1000
    resources: Mapping[str, Mapping[str, str]] = container.get("resources") or {}
    requested = (resources.get("requests") or {}).get("memory")
    request = parse(requested).value() if requested else 0
    score = 1000 - (1000 * request) // max(1, node_memory)
    return min(999, max(3, score))
