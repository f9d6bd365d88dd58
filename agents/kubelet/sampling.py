"""Takes samples of what the node and its pods use, when somebody asks.

Nothing is sampled while nobody looks. A rate needs two samples, so the first to ask waits for a second.

Invariant: the sample before is at least a second old, so that a rate means something.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from agents.kubelet.processes import System
from agents.kubelet.usage import STALLING, Interface, PodUsage, Stalls, interfaces, read_stalls
from api.runtime import Runtime

_NANO = 1_000_000_000
_YOUNGEST = 1.0
_OLDEST = 120.0
_WINDOW = 10.0
# The destination of the default route, as the kernel writes addresses.
_ANYWHERE = "00000000"


@dataclass(frozen=True, slots=True)
class NodeUse:
    """The node's own use: CPU nanoseconds since boot, bytes of memory in use and in all, and of these what no file has.

    `uplink` is the interface by which it reaches others.
    """

    time: float
    cpu_nanoseconds: int
    memory_used: int
    memory_total: int
    booted: float = 0.0
    resident: int = 0
    page_faults: int = 0
    major_page_faults: int = 0
    network: Mapping[str, Interface] = field(default_factory=dict)
    uplink: str = ""
    swap_used: int = 0
    swap_free: int = 0
    stalls: Mapping[str, Stalls] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Sample:
    """Everything at one moment; `pods` by uid, `systems` by name."""

    node: NodeUse
    pods: Mapping[str, PodUsage] = field(default_factory=dict)
    systems: Mapping[str, System] = field(default_factory=dict)


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
    counts = {words[0]: words[1:] for line in _lines("stat") if (words := line.split())}
    ticks = [int(word) for word in counts["cpu"]]
    idle = ticks[3] + ticks[4]
    memory = {
        name: int(value.split()[0]) * 1024 for name, _, value in (line.partition(":") for line in _lines("meminfo"))
    }
    faults = dict(line.split() for line in _lines("vmstat"))
    return NodeUse(
        time=now,
        cpu_nanoseconds=(sum(ticks) - idle) * (_NANO // 100),
        memory_used=memory["MemTotal"] - memory.get("MemAvailable", 0),
        memory_total=memory["MemTotal"],
        booted=float(counts["btime"][0]),
        resident=memory.get("AnonPages", 0),
        page_faults=int(faults.get("pgfault", 0)),
        major_page_faults=int(faults.get("pgmajfault", 0)),
        network=interfaces("\n".join(_lines("self/net/dev"))),
        uplink=next((words[0] for line in _lines("self/net/route")[1:] if (words := line.split())[1] == _ANYWHERE), ""),
        swap_used=memory.get("SwapTotal", 0) - memory.get("SwapFree", 0),
        swap_free=memory.get("SwapFree", 0),
        stalls=read_stalls({name: Path("/proc/pressure", name) for name in STALLING}),
    )


def _lines(name: str) -> list[str]:
    return Path("/proc", name).read_text().splitlines()
