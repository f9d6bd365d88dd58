"""Facts of the machine: processors, memory, uptime."""

from __future__ import annotations

import os
from typing import Any

from playbooks.modules._facts_system import _read


def facts() -> dict[str, Any]:
    """All of them, without the prefix."""
    return {**_processors(), **_memory(), **_uptime()}


def _processors() -> dict[str, Any]:
    described: list[str] = []
    flags: list[str] = []
    sockets: dict[str, int] = {}
    cores = 1
    current = ""
    for line in _read("/proc/cpuinfo").splitlines():
        key, _, value = (part.strip() for part in line.partition(":"))
        if key in ("processor", "vendor_id", "model name", "Processor"):
            described.append(value)
        elif key in ("flags", "Features"):
            flags = value.split()
        elif key == "physical id":
            current = value
            sockets.setdefault(value, 1)
        elif key == "cpu cores":
            sockets[current] = cores = int(value)
    count = os.cpu_count() or 1
    physical = len(sockets) or count
    threads = max(1, count // max(1, physical * cores))
    try:
        usable = len(os.sched_getaffinity(0))
    except (AttributeError, OSError):
        usable = count
    return {
        "processor": described,
        "flags": flags,
        "processor_count": physical,
        "processor_cores": cores,
        "processor_threads_per_core": threads,
        "processor_vcpus": count,
        "processor_nproc": usable,
    }


def _memory() -> dict[str, Any]:
    raw = {}
    for line in _read("/proc/meminfo").splitlines():
        name, _, value = line.partition(":")
        if value:
            raw[name] = int(value.split()[0]) // 1024
    total, free = raw.get("MemTotal", 0), raw.get("MemFree", 0)
    swap_total, swap_free = raw.get("SwapTotal", 0), raw.get("SwapFree", 0)
    no_cache = free + raw.get("Cached", 0) + raw.get("Buffers", 0)
    return {
        "memtotal_mb": total,
        "memfree_mb": free,
        "swaptotal_mb": swap_total,
        "swapfree_mb": swap_free,
        "memory_mb": {
            "real": {"total": total, "used": total - free, "free": free},
            "nocache": {"free": no_cache, "used": total - no_cache},
            "swap": {
                "total": swap_total,
                "free": swap_free,
                "used": swap_total - swap_free,
                "cached": raw.get("SwapCached", 0),
            },
        },
    }


def _uptime() -> dict[str, Any]:
    words = _read("/proc/uptime").split()
    load = dict(zip(("1m", "5m", "15m"), os.getloadavg()))
    return {"uptime_seconds": int(float(words[0])) if words else 0, "loadavg": load}
