"""What the node's own agents use: the kubelet, the container runtime, and all pods together.

The first two are told by their processes, for where no service manager put them, they have no group of their own.

Invariant: what has gone meanwhile counts as nothing.
Source: proc(5); kubelet's stats of system containers.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from agents.kubelet.cgroups import PodCgroups
from agents.kubelet.usage import Usage, read_usage

_NANO = 1_000_000_000
_PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class System:
    """What a part of the system uses, and since when it is there (seconds since the epoch)."""

    started: float
    use: Usage


def systems(groups: PodCgroups, runtime: str, booted: float, now: float) -> dict[str, System]:
    """The parts of the system by the original's names; one that is not there is left out."""
    found = {"kubelet": of_processes([os.getpid()], booted, now)}
    found["runtime"] = of_processes(_named(runtime), booted, now)
    pods = groups.of_all_pods()
    if pods:
        since = min(path.stat().st_ctime for path in pods.values())
        found["pods"] = System(since, read_usage(pods, now))
    return {name: system for name, system in found.items() if system is not None}


def of_processes(processes: Iterable[int], booted: float, now: float, proc: Path = _PROC) -> System | None:
    """What these processes use together; None if there are none."""
    ticks, page = os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PAGE_SIZE")
    rows = [row for process in processes if (row := _numbers(proc / str(process) / "stat"))]
    if not rows:
        return None
    resident = sum(row["rss"] for row in rows) * page
    use = Usage(
        time=now,
        cpu_nanoseconds=sum(row["utime"] + row["stime"] for row in rows) * (_NANO // ticks),
        memory=resident,
        working_set=resident,
        resident=resident,
        page_faults=sum(row["minflt"] + row["majflt"] for row in rows),
        major_page_faults=sum(row["majflt"] for row in rows),
        processes=len(rows),
    )
    return System(booted + min(row["starttime"] for row in rows) / ticks, use)


# The place of each number after the name, which may have blanks in it.
_PLACES = {"minflt": 7, "majflt": 9, "utime": 11, "stime": 12, "starttime": 19, "rss": 21}


def _numbers(path: Path) -> dict[str, int]:
    try:
        words = path.read_text().rpartition(")")[2].split()
    except OSError:
        return {}
    return {name: int(words[place]) for name, place in _PLACES.items()}


def _named(name: str) -> list[int]:
    return [int(entry.name) for entry in _PROC.glob("[0-9]*") if _text(entry / "comm") == name]


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
