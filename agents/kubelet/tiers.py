"""The control groups above those of pods: what all pods may use together, and how their classes share the CPU.

Guaranteed pods lie side by side with a group of all Burstable ones and a group of all BestEffort ones. So the first of
these weighs what its pods request together, and the second next to nothing.

Invariant: what is written follows from the node's pods alone, and is written only when it changes.
Source: kubelet/cm qosContainerManager setCPUCgroupConfig and getNodeAllocatableAbsolute.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from agents.kubelet.cgroups import PodCgroups
from agents.kubelet.machine import Machine
from agents.kubelet.pods import spec
from agents.kubelet.pods.limits import cpu_shares
from agents.kubelet.runtime.interface import Limits
from agents.kubelet.usage import read_usage
from api.objects import Object
from api.pod_resources import requests_of
from api.quantities import ZERO, parse

log = logging.getLogger(__name__)

_ALL, _BURSTABLE, _BEST_EFFORT = "", "burstable", "besteffort"


def wanted(pods: Iterable[Object], machine: Machine, reserved: Mapping[str, str]) -> dict[str, Limits]:
    """The limits of all pods together (""), of the Burstable and of the BestEffort ones."""
    rest = parse(str(machine.cpus)) - parse(reserved.get("cpu", "0"))
    memory = machine.memory - parse(reserved.get("memory", "0")).value()
    burstable = ZERO
    for pod in pods:
        if spec.qos_class(pod) == "Burstable" and not spec.is_terminal(pod):
            burstable += requests_of(pod["spec"]).get("cpu", ZERO)
    return {
        _ALL: Limits(cpu_shares(rest), 0, max(0, memory)),
        _BURSTABLE: Limits(cpu_shares(burstable)),
        _BEST_EFFORT: Limits(cpu_shares(ZERO)),
    }


@dataclass(slots=True)
class Tiers:
    """Keeps these groups of one node as they should be; `pods()` are its pods."""

    cgroups: PodCgroups
    pods: Callable[[], Iterable[Object]]
    machine: Callable[[], Machine]
    reserved: Mapping[str, str]
    systemd: bool
    _written: dict[str, Limits] = field(default_factory=dict)

    def keep(self) -> None:
        """Write what has changed."""
        for tier, limits in wanted(self.pods(), self.machine(), self.reserved).items():
            if self._written.get(tier) != limits and not (tier == _ALL and self._exceeds(limits.memory)):
                self._written[tier] = limits
                self.cgroups.limit(self._group(tier), limits)

    def _exceeds(self, limit: int) -> bool:
        """Whether the pods use more than that of memory, so that the kernel would end some of them for the limit.

        Source: kubelet/cm updateNodeAllocatableCgroup; a kernel with control groups of version 1 refuses such a limit.
        """
        groups = self.cgroups.of_all_pods()
        used = read_usage(groups, 0.0).memory if "" in groups else 0
        if used <= limit:
            return False
        log.warning(
            "all pods together use %d bytes of memory and may not be held to %d: end some, or lower what is reserved",
            used,
            limit,
        )
        return True

    def _group(self, tier: str) -> str:
        if self.systemd:
            return f"kubepods-{tier}.slice" if tier else "kubepods.slice"
        return f"{self.cgroups.parent}/kubepods{f'/{tier}' if tier else ''}"
