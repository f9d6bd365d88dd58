"""Which pod has to go when the node is short of something, and which has used more than its own limit.

Invariant: pure; critical pods are never chosen. Words and order are the original's.
Source: kubelet/eviction helpers (rankMemoryPressure, rankDiskPressureFunc, rankPIDPressure, evictionMessage) and
eviction_manager's localStorageEviction.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from agents.kubelet.pods import spec
from agents.kubelet.pods.view import Eviction
from agents.kubelet.thresholds import MEMORIES, RESOURCES, Shortage, Signal
from api.objects import Object, uid_of
from api.pod_resources import limits_of, requests_of
from api.quantities import Quantity, canonical, parse
from api.tolerations import tolerated

REASON = "Evicted"
AT_ONCE = 1.0
_DISK = "ephemeral-storage"


@dataclass(frozen=True, slots=True)
class Use:
    """What a pod uses: bytes of memory and processes; bytes of disk: logs and written roots by container, volumes by
    name; files of logs and volumes, and of roots.

    `in_memory` names the volumes that take memory and no disk; `images_apart` says that roots lie on another disk.
    """

    memory: Mapping[str, int] = field(default_factory=dict)
    processes: int = 0
    logs: Mapping[str, int] = field(default_factory=dict)
    roots: Mapping[str, int] = field(default_factory=dict)
    volumes: Mapping[str, int] = field(default_factory=dict)
    inodes: int = 0
    root_inodes: int = 0
    in_memory: frozenset[str] = frozenset()
    images_apart: bool = False

    def of(self, signal: Signal) -> int:
        """What the pod has of what a signal measures. Source: eviction's buildSignalToRankFunc."""
        if signal in MEMORIES:
            return sum(self.memory.values())
        if signal is Signal.PROCESSES:
            return self.processes
        inodes = signal in (Signal.NODE_INODES, Signal.IMAGE_INODES)
        roots = self.root_inodes if inodes else sum(self.roots.values())
        rest = self.inodes if inodes else sum(self.logs.values()) + sum(self._volumes_on_disk())
        if not self.images_apart:
            return roots + rest
        return roots if signal in (Signal.IMAGE_DISK, Signal.IMAGE_INODES) else rest

    def on_any_disk(self) -> int:
        """The bytes of disk that count for the limit of the pod as a whole."""
        return sum([*self.roots.values(), *self.logs.values(), *self._volumes_on_disk()])

    def of_container(self, name: str) -> int:
        """The bytes of disk that a container has written, wherever they lie."""
        return self.logs.get(name, 0) + self.roots.get(name, 0)

    def limited(self, name: str) -> int:
        """The bytes of disk of a container that count for its own limit."""
        return self.logs.get(name, 0) if self.images_apart else self.of_container(name)

    def _volumes_on_disk(self) -> list[int]:
        return [amount for name, amount in self.volumes.items() if name not in self.in_memory]


def victim(
    shortage: Shortage, pods: list[Object], use_of: Callable[[Object], Use], longest_grace: float = 0.0
) -> tuple[Object, Eviction] | None:
    """The pod to evict first and how users are told; None if no pod may be evicted.

    By a hard threshold it ends at once, by a soft one it has its own grace period, up to `longest_grace`.
    """
    candidates = [pod for pod in pods if not spec.is_critical(pod) and not spec.is_terminal(pod)]
    if not candidates:
        return None
    uses = {uid_of(pod): use_of(pod) for pod in candidates}
    chosen = max(candidates, key=lambda pod: _rank(shortage.signal, pod, uses[uid_of(pod)]))
    grace = min(spec.grace_period(chosen), longest_grace) if shortage.grace else AT_ONCE
    return chosen, Eviction(REASON, _message(shortage, chosen, uses[uid_of(chosen)]), grace)


def _rank(signal: Signal, pod: Object, use: Use) -> tuple[bool, int, int]:
    """Greater goes earlier: over its request, then low priority, then much above its request."""
    amount = use.of(signal)
    request = 0
    if signal in (*MEMORIES, Signal.NODE_DISK, Signal.IMAGE_DISK):
        request = requests_of(pod["spec"]).get(RESOURCES[signal], Quantity(0)).value()
    over = amount > request if signal is not Signal.PROCESSES else False
    return over, -int(pod["spec"].get("priority") or 0), amount - request


def _message(shortage: Shortage, pod: Object, use: Use) -> str:
    resource = RESOURCES[shortage.signal]
    binary = shortage.signal not in (Signal.NODE_INODES, Signal.IMAGE_INODES, Signal.PROCESSES)
    wanted, available = _shown(shortage.wanted, binary), _shown(shortage.available, binary)
    text = f"The node was low on resource: {resource}. Threshold quantity: {wanted}, available: {available}. "
    amounts = {"memory": lambda name: use.memory.get(name, 0), "ephemeral-storage": use.of_container}
    for container in spec.containers(pod) if resource in amounts else ():
        request = ((container.get("resources") or {}).get("requests") or {}).get(resource, "0")
        amount = amounts[resource](container["name"])
        if amount > parse(request).value():
            text += (
                f"Container {container['name']} was using {_shown(amount, True)}, request is {request}, "
                f"has larger consumption of {resource}. "
            )
    return text


def _shown(amount: int, binary: bool) -> str:
    return canonical(f"{amount // 1024}Ki") if binary and amount >= 1024 else str(amount)


def over_own_limit(pod: Object, use: Use) -> Eviction | None:
    """Whether the pod uses more disk than its volumes', its containers' or its own limit allow."""
    if spec.is_critical(pod):
        return None
    for volume in pod["spec"].get("volumes") or []:
        limit = (volume.get("emptyDir") or {}).get("sizeLimit")
        if limit and use.volumes.get(volume["name"], 0) > parse(limit).value() > 0:
            return _excess(f'Usage of EmptyDir volume "{volume["name"]}" exceeds the limit "{limit}". ')
    whole = limits_of(pod["spec"]).get(_DISK)
    if whole is not None and use.on_any_disk() > whole.value():
        shown = _shown(whole.value(), True)
        return _excess(f"Pod ephemeral local storage usage exceeds the total limit of containers {shown}. ")
    for container in spec.containers(pod):
        name, limit = container["name"], _disk_limit(container)
        if limit and use.limited(name) > parse(limit).value():
            return _excess(f'Container {name} exceeded its local ephemeral storage limit "{limit}". ')
    return None


def _excess(message: str) -> Eviction:
    # The pod's own doing is no disruption that a Job's failure policy could overlook.
    return Eviction(REASON, message, AT_ONCE, "")


def limits_disk(pod: Object) -> bool:
    """Whether the pod has a limit of disk that must be watched."""
    volumes = pod["spec"].get("volumes") or []
    return any((volume.get("emptyDir") or {}).get("sizeLimit") for volume in volumes) or _DISK in limits_of(pod["spec"])


def _disk_limit(container: Object) -> str:
    return str(((container.get("resources") or {}).get("limits") or {}).get(_DISK) or "")


def refused_by_pressure(pod: Object, conditions: frozenset[str]) -> tuple[str, str] | None:
    """Why a node under pressure takes no more of such pods. Source: eviction manager's Admit."""
    held = sorted(conditions)
    if not held or spec.is_critical(pod):
        return None
    if held == ["MemoryPressure"]:
        taint = {"key": "node.kubernetes.io/memory-pressure", "effect": "NoSchedule"}
        if spec.qos_class(pod) != "BestEffort" or tolerated(pod["spec"].get("tolerations") or [], taint):
            return None
    return REASON, f"The node had condition: [{' '.join(held)}]. "
