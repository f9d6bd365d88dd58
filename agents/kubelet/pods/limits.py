"""Requests and limits as cgroups understand them, and where a pod's cgroup lies.

Source: kubelet/cm helpers (MilliCPUToShares, MilliCPUToQuota, GetPodCgroupNameSuffix); qos policy's
GetContainerOOMScoreAdjust; kuberuntime getCPULimit and getMemoryLimit.
"""

from __future__ import annotations

from collections.abc import Callable

from agents.kubelet.pods import spec
from agents.kubelet.runtime.interface import CPU_PERIOD, Limits
from api.objects import Object
from api.quantities import parse

_MINIMUM_SHARES = 2
_MINIMUM_QUOTA = 1000


def container_limits(pod: Object, container: Object, pids: int) -> Limits:
    """A container's own limits, and where it has none, those of the pod as a whole; processes by the node's limit."""
    own, of_pod = (holder.get("resources") or {} for holder in (container, pod["spec"]))
    limits = (of_pod.get("limits") or {}) | (own.get("limits") or {})
    return _limits({"requests": own.get("requests"), "limits": limits}, pids)


def _limits(resources: Object, pids: int = 0) -> Limits:
    """CPU shares by the request, else by the limit; CPU quota and memory by the limit."""
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
        return _limits(own)
    sidecars = [entry for entry in spec.init_containers(pod) if spec.is_sidecar(entry)]
    regular = [_limits(entry.get("resources") or {}) for entry in [*spec.containers(pod), *sidecars]]
    once = [_limits(entry.get("resources") or {}) for entry in spec.init_containers(pod) if not spec.is_sidecar(entry)]

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
    request = _requested(container)
    if spec.is_sidecar(container):
        # It goes no sooner than any of those that it is there for.
        request = max(request, min(_requested(entry) for entry in spec.containers(pod)))
    score = 1000 - (1000 * (request + _left_over(pod))) // max(1, node_memory)
    return min(999, max(3, score))


def _left_over(pod: Object) -> int:
    """Each container's part of the memory that the pod requests as a whole, beyond what its containers do."""
    whole = _requested(pod["spec"])
    lasting = [*spec.containers(pod), *(entry for entry in spec.init_containers(pod) if spec.is_sidecar(entry))]
    return max(0, whole - sum(_requested(entry) for entry in lasting)) // len(lasting) if whole else 0


def _requested(holder: Object) -> int:
    """The bytes of memory that a container or a pod's spec requests."""
    amount = ((holder.get("resources") or {}).get("requests") or {}).get("memory")
    return parse(amount).value() if amount else 0
