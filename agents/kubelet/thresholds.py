"""When a node is short of something: eviction thresholds, as the operator writes them, against what is left.

A hard threshold acts at once, a soft one when it has been met for its grace period; both make a condition.

Invariant: pure. A pressure that ended is still told for the transition period, so that conditions do not flap.
Source: kubelet/eviction api and helpers (ParseThresholdConfig, thresholdsMet, thresholdsMetGracePeriod), with
KubeletConfiguration's evictionMinimumReclaim.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from agents.kubelet.machine import Pressure
from api.protobuf.special import parse_duration
from api.quantities import parse


class ThresholdError(ValueError):
    """What the operator says of eviction does not fit together; the sentence says what and what to do."""


class Signal(StrEnum):
    """What is measured."""

    MEMORY = "memory.available"
    PODS_MEMORY = "allocatableMemory.available"
    NODE_DISK = "nodefs.available"
    NODE_INODES = "nodefs.inodesFree"
    IMAGE_DISK = "imagefs.available"
    IMAGE_INODES = "imagefs.inodesFree"
    PROCESSES = "pid.available"


MEMORIES = (Signal.MEMORY, Signal.PODS_MEMORY)
CONDITIONS = {
    Signal.MEMORY: "MemoryPressure",
    Signal.PODS_MEMORY: "MemoryPressure",
    Signal.NODE_DISK: "DiskPressure",
    Signal.NODE_INODES: "DiskPressure",
    Signal.IMAGE_DISK: "DiskPressure",
    Signal.IMAGE_INODES: "DiskPressure",
    Signal.PROCESSES: "PIDPressure",
}
RESOURCES = {
    Signal.MEMORY: "memory",
    Signal.PODS_MEMORY: "memory",
    Signal.NODE_DISK: "ephemeral-storage",
    Signal.NODE_INODES: "inodes",
    Signal.IMAGE_DISK: "ephemeral-storage",
    Signal.IMAGE_INODES: "inodes",
    Signal.PROCESSES: "pids",
}
DEFAULT = "memory.available<100Mi,nodefs.available<10%,nodefs.inodesFree<5%,imagefs.available<15%,imagefs.inodesFree<5%"


@dataclass(frozen=True, slots=True)
class Reclaim:
    """How much more than a threshold must be left before a shortage counts as over."""

    amount: int = 0
    percent: float = 0.0

    def quantity(self, total: int) -> int:
        """The amount in units of the signal."""
        return int(total * self.percent / 100) if self.percent else self.amount


@dataclass(frozen=True, slots=True)
class Threshold:
    """Less than `amount` (or, if `percent` is set, that part of all there is) is too little.

    With `grace` it is soft: it must be so for that many seconds. Once met, it stays met until `reclaim` more than
    enough is left.
    """

    signal: Signal
    amount: int = 0
    percent: float = 0.0
    grace: float = 0.0
    reclaim: Reclaim = Reclaim()

    def quantity(self, total: int) -> int:
        """The amount in units of the signal."""
        return int(total * self.percent / 100) if self.percent else self.amount

    @property
    def key(self) -> tuple[Signal, float]:
        """What tells it from the others."""
        return self.signal, self.grace


@dataclass(frozen=True, slots=True)
class Shortage:
    """A threshold that is met: how much is left, how much should be, and how long that may be so."""

    signal: Signal
    available: int
    wanted: int
    grace: float = 0.0

    @property
    def key(self) -> tuple[Signal, float]:
        """Which threshold it is."""
        return self.signal, self.grace


def parse_thresholds(text: str) -> tuple[Threshold, ...]:
    """`memory.available<100Mi,nodefs.available<10%`; 0% and 100% mean none. Raises ValueError naming the part."""
    found: dict[Signal, Threshold] = {}
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        name, less, value = part.partition("<")
        try:
            signal = Signal(name)
            percent = float(value[:-1]) if value.endswith("%") else 0.0
            amount = 0 if value.endswith("%") else parse(value).value()
            if not less or signal in found or not 0 <= percent <= 100 or (amount <= 0 and not value.endswith("%")):
                raise ValueError
        except ValueError as error:
            known = ", ".join(Signal)
            message = f"{part!r} is not SIGNAL<QUANTITY or SIGNAL<N%, each once, of the signals {known}"
            raise ValueError(message) from error
        found[signal] = Threshold(signal, amount, percent)
    return tuple(entry for entry in found.values() if entry.amount or 0 < entry.percent < 100)


def parse_grace_periods(text: str) -> dict[Signal, float]:
    """`memory.available=1m30s,…` in seconds. Raises ValueError naming the part that is wrong."""
    found = {}
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        name, _, value = part.partition("=")
        try:
            found[Signal(name)] = parse_duration(value) / 1e9
            if found[Signal(name)] < 0:
                raise ValueError
        except ValueError as error:
            raise ValueError(f"{part!r} is not SIGNAL=DURATION, of the signals {', '.join(Signal)}") from error
    return found


def parse_reclaims(text: str) -> dict[Signal, Reclaim]:
    """`nodefs.available=500Mi,memory.available=5%`. Raises ValueError naming the part that is wrong."""
    found = {}
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        name, _, value = part.partition("=")
        try:
            percent = float(value[:-1]) if value.endswith("%") else 0.0
            amount = 0 if value.endswith("%") else parse(value).value()
            if min(percent, amount) < 0:
                raise ValueError
            found[Signal(name)] = Reclaim(amount, percent)
        except ValueError as error:
            known = ", ".join(Signal)
            raise ValueError(f"{part!r} is not SIGNAL=QUANTITY or SIGNAL=N%, of the signals {known}") from error
    return found


def reclaiming(thresholds: tuple[Threshold, ...], reclaims: Mapping[Signal, Reclaim]) -> tuple[Threshold, ...]:
    """The thresholds with what must be reclaimed beyond each."""
    return tuple(replace(entry, reclaim=reclaims.get(entry.signal, Reclaim())) for entry in thresholds)


def with_memory_of_pods(thresholds: tuple[Threshold, ...]) -> tuple[Threshold, ...]:
    """As much as must be left of the node's memory must be left of what all pods may use together.

    So that pods end in the order of eviction, and not in that of the kernel. Source: addAllocatableThresholds.
    """
    of_node = [entry for entry in thresholds if entry.signal is Signal.MEMORY and not entry.grace]
    return (*thresholds, *(replace(entry, signal=Signal.PODS_MEMORY) for entry in of_node))


def soft(thresholds: tuple[Threshold, ...], grace_periods: Mapping[Signal, float]) -> tuple[Threshold, ...]:
    """Thresholds with their grace periods. Raises ThresholdError for one that has none."""
    missing = [threshold.signal for threshold in thresholds if not grace_periods.get(threshold.signal)]
    if missing:
        raise ThresholdError(
            f"the soft eviction threshold of {missing[0]} has no grace period: name one by --eviction-soft-grace-period"
        )
    return tuple(replace(threshold, grace=grace_periods[threshold.signal]) for threshold in thresholds)


def measured(pressure: Pressure) -> Mapping[Signal, tuple[int, int]]:
    """(available, total) of each signal."""
    return {
        Signal.MEMORY: (pressure.memory_available, pressure.memory_total),
        Signal.PODS_MEMORY: (pressure.pods_memory_available, pressure.pods_memory_total),
        Signal.NODE_DISK: (pressure.disk_available, pressure.disk_total),
        Signal.NODE_INODES: (pressure.inodes_available, pressure.inodes_total),
        Signal.IMAGE_DISK: (pressure.image_disk_available, pressure.image_disk_total),
        Signal.IMAGE_INODES: (pressure.image_inodes_available, pressure.image_inodes_total),
        Signal.PROCESSES: (pressure.processes_available, pressure.processes_total),
    }


def shortages(
    pressure: Pressure, thresholds: tuple[Threshold, ...], unresolved: Collection[tuple[Signal, float]] = ()
) -> list[Shortage]:
    """The thresholds that are met; memory first, because it hurts first, and hard ones before soft ones.

    Those that are `unresolved`, met before, stay so until what must be reclaimed is there as well.
    """
    found = []
    amounts = measured(pressure)
    for threshold in thresholds:
        available, total = amounts[threshold.signal]
        wanted = threshold.quantity(total)
        more = threshold.reclaim.quantity(total) if threshold.key in unresolved else 0
        if total and available < wanted + more:
            found.append(Shortage(threshold.signal, available, wanted, threshold.grace))
    return sorted(found, key=lambda shortage: (shortage.signal not in MEMORIES, shortage.grace))


@dataclass(slots=True)
class Conditions:
    """The pressure conditions of a node over time; `transition` seconds must pass after the last shortage."""

    transition: float = 300.0
    last_met: dict[str, float] = field(default_factory=dict)

    def update(self, found: list[Shortage], now: float) -> frozenset[str]:
        """The conditions that hold now, by name."""
        for shortage in found:
            self.last_met[CONDITIONS[shortage.signal]] = now
        return frozenset(name for name, met in self.last_met.items() if met == now or now - met < self.transition)


@dataclass(slots=True)
class Patience:
    """How long each threshold has been met without a break; by signal and grace period."""

    since: dict[tuple[Signal, float], float] = field(default_factory=dict)

    def over(self, found: list[Shortage], now: float) -> list[Shortage]:
        """Those of the shortages that have lasted for as long as they may."""
        self.since = {entry.key: self.since.get(entry.key, now) for entry in found}
        return [entry for entry in found if now - self.since[entry.key] >= entry.grace]
