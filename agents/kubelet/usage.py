"""What pods and containers use, read from their control groups, their network and their directories.

The kernel counts; whichever runtime made a container, its group lies in the pod's and has the container's id in
its name.

Invariant: reading costs a few small files a container; what has gone meanwhile reads as nothing.
Source: cgroups(7), Documentation/admin-guide/cgroup-v1 and cgroup-v2, Documentation/accounting/psi; proc_pid_net(5).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from agents.kubelet.cgroups import PodCgroups

_BLOCK = 512
_MICRO = 1_000
_UNLIMITED = 1 << 62
_WITHIN_SCOPE = "container"
STALLING = ("cpu", "memory", "io")


@dataclass(frozen=True, slots=True)
class Throttling:
    """Of how many periods a group was made to wait in how many, and for how many nanoseconds in all."""

    periods: int = 0
    throttled: int = 0
    nanoseconds: int = 0


@dataclass(frozen=True, slots=True)
class DiskTraffic:
    """What was read from disks and written to them, so far."""

    reads: int = 0
    writes: int = 0
    read_bytes: int = 0
    written_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Stalled:
    """For how many microseconds in all somebody waited, and what part of the last seconds, in percent."""

    total: int = 0
    avg10: float = 0.0
    avg60: float = 0.0
    avg300: float = 0.0


@dataclass(frozen=True, slots=True)
class Stalls:
    """When some of the processes waited for something, and when all of them did."""

    some: Stalled = Stalled()
    full: Stalled = Stalled()


@dataclass(frozen=True, slots=True)
class Usage:
    """CPU nanoseconds so far; bytes of memory: all, what cannot be dropped, anonymous, swapped; processes.

    `memory_limit` is 0 for none; `swap_limit` None for none or an unknown one; `out_of_memory` counts those that the
    kernel ended for want of memory in the group. `stalls` is by what was waited for: cpu, memory, io.
    """

    time: float
    cpu_nanoseconds: int = 0
    memory: int = 0
    working_set: int = 0
    resident: int = 0
    page_faults: int = 0
    major_page_faults: int = 0
    processes: int = 0
    swap: int = 0
    out_of_memory: int = 0
    memory_limit: int = 0
    throttling: Throttling = Throttling()
    disk: DiskTraffic = DiskTraffic()
    swap_limit: int | None = None
    stalls: Mapping[str, Stalls] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Interface:
    """The counters of a network interface."""

    received_bytes: int = 0
    received_errors: int = 0
    sent_bytes: int = 0
    sent_errors: int = 0
    received_packets: int = 0
    received_dropped: int = 0
    sent_packets: int = 0
    sent_dropped: int = 0


@dataclass(frozen=True, slots=True)
class PodUsage:
    """A pod as a whole, its containers by id, and its network's interfaces by name."""

    pod: Usage
    containers: Mapping[str, Usage] = field(default_factory=dict)
    network: Mapping[str, Interface] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DiskUse:
    """Bytes and files below a directory."""

    bytes: int = 0
    inodes: int = 0


@dataclass(frozen=True, slots=True)
class Space:
    """What the file system that a volume lies on has, in bytes and in files, and what of it is free."""

    bytes: int
    bytes_free: int
    inodes: int
    inodes_free: int


def pod_usage(groups: PodCgroups, uid: str, container_ids: list[str], now: float) -> PodUsage | None:
    """The use of one pod; None if it has no group."""
    own = groups.controllers(uid)
    if not own:
        return None
    containers = {}
    for container_id in container_ids:
        inner = {name: child for name, path in own.items() if (child := _child(path, container_id)) is not None}
        if inner:
            containers[container_id] = read_usage(inner, now)
    return PodUsage(read_usage(own, now), containers, _network(own))


def read_usage(controllers: Mapping[str, Path], now: float) -> Usage:
    """The use that one group counts; `controllers` tells its directory by controller, "" for version 2."""
    unified = controllers.get("")
    if unified is not None:
        return _read_unified(unified, now)
    absent = Path("/nonexistent")
    group, cpu = controllers.get("memory", absent), controllers.get("cpu", absent)
    memory, stat = _number(group / "memory.usage_in_bytes"), _table(group / "memory.stat")
    quota, blocks = _table(cpu / "cpu.stat"), controllers.get("blkio", absent)
    counted, moved = (_operations(blocks / f"blkio.throttle.io_{what}") for what in ("serviced", "service_bytes"))
    return Usage(
        time=now,
        cpu_nanoseconds=_number(controllers.get("cpuacct", absent) / "cpuacct.usage"),
        memory=memory,
        memory_limit=_limit(group / "memory.limit_in_bytes"),
        working_set=max(0, memory - stat.get("total_inactive_file", 0)),
        resident=stat.get("total_rss", 0),
        page_faults=stat.get("total_pgfault", 0),
        major_page_faults=stat.get("total_pgmajfault", 0),
        processes=_number(controllers.get("pids", absent) / "pids.current"),
        swap=stat.get("total_swap", 0),
        out_of_memory=_table(group / "memory.oom_control").get("oom_kill", 0),
        throttling=Throttling(*(quota.get(name, 0) for name in ("nr_periods", "nr_throttled", "throttled_time"))),
        disk=DiskTraffic(*counted, *moved),
    )


def _read_unified(group: Path, now: float) -> Usage:
    memory, stat = _number(group / "memory.current"), _table(group / "memory.stat")
    cpu = _table(group / "cpu.stat")
    return Usage(
        time=now,
        cpu_nanoseconds=cpu.get("usage_usec", 0) * _MICRO,
        memory=memory,
        memory_limit=_limit(group / "memory.max"),
        working_set=max(0, memory - stat.get("inactive_file", 0)),
        resident=stat.get("anon", 0),
        page_faults=stat.get("pgfault", 0),
        major_page_faults=stat.get("pgmajfault", 0),
        processes=_number(group / "pids.current"),
        swap=_number(group / "memory.swap.current"),
        out_of_memory=_table(group / "memory.events").get("oom_kill", 0),
        throttling=Throttling(
            cpu.get("nr_periods", 0), cpu.get("nr_throttled", 0), cpu.get("throttled_usec", 0) * _MICRO
        ),
        disk=DiskTraffic(*(_io(group, name) for name in ("rios", "wios", "rbytes", "wbytes"))),
        swap_limit=int(text) if (text := _text(group / "memory.swap.max").strip()).isdigit() else None,
        stalls=read_stalls({name: group / f"{name}.pressure" for name in STALLING}),
    )


def read_stalls(files: Mapping[str, Path]) -> dict[str, Stalls]:
    """What the kernel tells of waiting, by what was waited for; what it does not tell of is left out."""
    found = {name: stalls(_text(path)) for name, path in files.items()}
    return {name: entry for name, entry in found.items() if entry is not None}


def stalls(text: str) -> Stalls | None:
    """The lines `some avg10=0.00 avg60=0.00 avg300=0.00 total=0` and `full …`; None if there are none."""
    lines = {
        words[0]: dict(word.split("=", 1) for word in words[1:])
        for line in text.splitlines()
        if (words := line.split())
    }
    if "some" not in lines:
        return None
    return Stalls(*(_stalled(lines.get(name, {})) for name in ("some", "full")))


def _stalled(values: Mapping[str, str]) -> Stalled:
    return Stalled(int(values.get("total", 0)), *(float(values.get(name, 0)) for name in ("avg10", "avg60", "avg300")))


def _io(group: Path, name: str) -> int:
    """The sum over all disks of a counter of io.stat."""
    words = _text(group / "io.stat").split()
    return sum(int(word.partition("=")[2]) for word in words if word.startswith(f"{name}="))


def _operations(path: Path) -> tuple[int, int]:
    """Reads and writes over all disks, of a file of blkio: lines of `8:0 Read 12`."""
    totals = {"Read": 0, "Write": 0}
    for words in (line.split() for line in _text(path).splitlines()):
        if len(words) == 3 and words[1] in totals:
            totals[words[1]] += int(words[2])
    return totals["Read"], totals["Write"]


def disk_use(directory: Path) -> DiskUse:
    """What lies below a directory, without what is mounted there from another disk."""
    try:
        root = directory.lstat()
    except OSError:
        return DiskUse()
    size, inodes = root.st_blocks * _BLOCK, 1
    linked: set[int] = set()
    pending = [str(directory)]
    while pending:
        try:
            with os.scandir(pending.pop()) as entries:
                for entry in entries:
                    status = _look_at(entry)
                    if status is None or status.st_dev != root.st_dev or status.st_ino in linked:
                        continue
                    if status.st_nlink > 1 and not entry.is_dir(follow_symlinks=False):
                        linked.add(status.st_ino)
                    size, inodes = size + status.st_blocks * _BLOCK, inodes + 1
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(entry.path)
        except OSError:
            continue
    return DiskUse(size, inodes)


def _look_at(entry: os.DirEntry[str]) -> os.stat_result | None:
    """None for what has gone since its directory was listed, beside which others count."""
    try:
        return entry.stat(follow_symlinks=False)
    except OSError:
        return None


def space(path: Path) -> Space:
    """The file system at a path. Raises OSError."""
    found = os.statvfs(path)
    return Space(found.f_blocks * found.f_frsize, found.f_bavail * found.f_frsize, found.f_files, found.f_ffree)


def interfaces(text: str) -> dict[str, Interface]:
    """The interfaces of a /proc/PID/net/dev, without loopback."""
    found = {}
    for line in text.splitlines()[2:]:
        name, _, rest = line.partition(":")
        words = rest.split()
        if name.strip() != "lo" and len(words) >= 12:
            received, sent = [int(word) for word in words[:4]], [int(word) for word in words[8:12]]
            found[name.strip()] = Interface(
                *(received[0], received[2], sent[0], sent[2]), *(received[1], received[3], sent[1], sent[3])
            )
    return found


def _network(own: Mapping[str, Path]) -> dict[str, Interface]:
    """Read through any process of the pod."""
    for path in own.values():
        for group in (path, *path.glob("*/"), *path.glob(f"*/{_WITHIN_SCOPE}/")):
            for process in _text(group / "cgroup.procs").split()[:1]:
                text = _text(Path("/proc") / process / "net" / "dev")
                if text:
                    return interfaces(text)
    return {}


def _child(path: Path, container_id: str) -> Path | None:
    """A container's group within its pod's: conmon's beside it is not meant."""
    found = [entry for entry in path.glob(f"*{container_id}*") if "conmon" not in entry.name and entry.is_dir()]
    if not found:
        return None
    # Under systemd crun limits a group of its own within the scope, which counts no waiting for the quota itself.
    return inner if (inner := found[0] / _WITHIN_SCOPE).is_dir() else found[0]


def _limit(path: Path) -> int:
    """A limit; version 1 says of none what is nearly the largest number."""
    found = _number(path)
    return 0 if found >= _UNLIMITED else found


def _number(path: Path) -> int:
    text = _text(path).strip()
    return int(text) if text.isdigit() else 0


def _table(path: Path) -> dict[str, int]:
    pairs = (line.split() for line in _text(path).splitlines())
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdigit()}


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
