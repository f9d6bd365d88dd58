"""Takes samples of what the node and its pods use, when somebody asks.

Nothing is sampled while nobody looks. A rate needs two samples, so the first to ask waits for a second.

Invariant: the sample before is at least a second old, so that a rate means something.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from agents.kubelet.usage import PodUsage
from api.runtime import Runtime

_NANO = 1_000_000_000
_YOUNGEST = 1.0
_OLDEST = 120.0
_WINDOW = 10.0


@dataclass(frozen=True, slots=True)
class NodeUse:
    """The node's own use: CPU nanoseconds since boot, bytes of memory in use and in all."""

    time: float
    cpu_nanoseconds: int
    memory_used: int
    memory_total: int


@dataclass(frozen=True, slots=True)
class Sample:
    """Everything at one moment; `pods` by uid."""

    node: NodeUse
    pods: Mapping[str, PodUsage] = field(default_factory=dict)


class Sampler:
    """Keeps the last sample. `read()` takes a new one."""

    def __init__(self, clock: Runtime, read: Callable[[], Sample]) -> None:
        self._clock = clock
        self._read = read
        self._lock = clock.lock()
        self._before: Sample | None = None
        self._last: Sample | None = None

    def now(self) -> Sample:
        """A sample of this moment, without a rate."""
        return self._read()

    def pair(self) -> tuple[Sample, Sample]:
        """(now, before)."""
        with self._lock:
            sample = self._read()
            before = next((old for old in (self._last, self._before) if old and self._fits(sample, old)), None)
            if before is None:
                before = sample
                self._clock.sleep(_YOUNGEST)
                sample = self._read()
            if self._last is None or sample.node.time - self._last.node.time >= _WINDOW:
                self._before, self._last = self._last or before, sample
            return sample, before

    @staticmethod
    def _fits(sample: Sample, old: Sample) -> bool:
        return _YOUNGEST <= sample.node.time - old.node.time <= _OLDEST


def read_node_use(now: float) -> NodeUse:
    """The machine's use, from /proc."""
    ticks = [int(word) for word in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]]
    idle = ticks[3] + ticks[4]
    memory = {}
    for line in Path("/proc/meminfo").read_text().splitlines():
        name, _, value = line.partition(":")
        memory[name] = int(value.split()[0]) * 1024
    used = memory["MemTotal"] - memory.get("MemAvailable", 0)
    return NodeUse(now, (sum(ticks) - idle) * (_NANO // 100), used, memory["MemTotal"])
