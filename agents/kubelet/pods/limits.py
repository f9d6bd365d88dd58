"""Requests and limits as cgroups understand them, and where a pod's cgroup lies.

Source: kubelet/cm helpers (MilliCPUToShares, MilliCPUToQuota, GetPodCgroupNameSuffix); qos policy's
GetContainerOOMScoreAdjust; kuberuntime getCPULimit and getMemoryLimit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from agents.kubelet.pods import spec
from agents.kubelet.runtime.interface import CPU_PERIOD, Limits
from api.objects import Object
from api.pod_resources import limits_of, requests_of
from api.quantities import ZERO, Quantity, parse

_LEAST_SHARES, _MOST_SHARES = 2, 262144
_LEAST_QUOTA = 1000


def container_limits(pod: Object, container: Object, pids: int, page_sizes: Sequence[int] = ()) -> Limits:
    """A container's own limits, and where it has none, those of the pod as a whole; processes by the node's limit.

    Of huge pages of the node's sizes it may have those that it asks for, and no others.
    """
    own, of_pod = (holder.get("resources") or {} for holder in (container, pod["spec"]))
    limits = (of_pod.get("limits") or {}) | (own.get("limits") or {})
    found = _limits({"requests": own.get("requests"), "limits": limits}, pids)
    return replace(found, huge_pages=tuple((_named(size), _huge_pages(limits, size)) for size in page_sizes))


def _named(size: int) -> str:
    """A size of pages as runtimes name it: 2MB, 1GB."""
    power = (size.bit_length() - 1) // 10
    return f"{size >> 10 * power}{'KMG'[power - 1]}B"


def _huge_pages(limits: Object, size: int) -> int:
    """The bytes of pages of that size. Source: kubelet/util GetHugepageLimitsFromResources."""
    named = ((name.removeprefix("hugepages-"), text) for name, text in limits.items() if name.startswith("hugepages-"))
    return sum(parse(text).value() for page, text in named if parse(page).value() == size)


def _limits(resources: Object, pids: int = 0) -> Limits:
    """CPU shares by the request, else by the limit; CPU quota and memory by the limit."""
    limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
    requested = requests.get("cpu", limits.get("cpu"))
    memory = parse(limits["memory"]).value() if limits.get("memory") else 0
    return Limits(cpu_shares(parse(requested or "0")), _quota(parse(limits.get("cpu") or "0")), memory, pids)


def cpu_shares(cpu: Quantity) -> int:
    """An amount of CPU as a weight."""
    return min(_MOST_SHARES, max(_LEAST_SHARES, cpu.milli() * 1024 // 1000))


def _quota(cpu: Quantity) -> int:
    return max(_LEAST_QUOTA, cpu.milli() * CPU_PERIOD // 1000) if cpu.nano else 0


def pod_limits(pod: Object) -> Limits:
    """What the pod as a whole may use: its own resources if it names some, else what its containers do together.

    A limit holds for the pod only if it names it itself or each of its containers has one. Source: kubelet/cm
    ResourceConfigForPod.
    """
    limits = limits_of(pod["spec"])
    holders = [*spec.containers(pod), *spec.init_containers(pod)]

    def limit(name: str) -> Quantity:
        whole = _has_limit(pod["spec"], name) or all(_has_limit(entry, name) for entry in holders)
        return limits.get(name, ZERO) if whole else ZERO

    shares = cpu_shares(requests_of(pod["spec"]).get("cpu", ZERO))
    return Limits(shares, _quota(limit("cpu")), limit("memory").value())


def _has_limit(holder: Object, name: str) -> bool:
    amount = ((holder.get("resources") or {}).get("limits") or {}).get(name)
    return bool(amount) and parse(amount).nano > 0


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
    if spec.is_node_critical(pod) or qos == "Guaranteed":
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
