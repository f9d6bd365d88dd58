"""Facts of the machine: processors, memory, uptime, mounts, block devices."""

from __future__ import annotations

import os
from typing import Any

from playbooks.modules._facts_system import _read

_NOT_REAL = ("none", "tmpfs", "proc", "sysfs", "devtmpfs", "cgroup", "cgroup2", "devpts", "overlay")


def facts() -> dict[str, Any]:
    """All of them, without the prefix."""
    return {**_processors(), **_memory(), **_devices(), "mounts": _mounts(), **_uptime(), **_board()}


def _processors() -> dict[str, Any]:
    described: list[str] = []
    sockets: dict[str, int] = {}
    cores = 1
    current = ""
    for line in _read("/proc/cpuinfo").splitlines():
        key, _, value = (part.strip() for part in line.partition(":"))
        if key in ("processor", "vendor_id", "model name", "Processor"):
            described.append(value)
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


def _mounts() -> list[dict[str, Any]]:
    found = []
    for line in _read("/proc/mounts").splitlines():
        device, point, kind, options = line.split()[:4]
        if kind in _NOT_REAL or not device.startswith(("/", "//")):
            continue
        try:
            status = os.statvfs(point)
        except OSError:
            continue
        found.append(
            {
                "device": device,
                "mount": point,
                "fstype": kind,
                "options": options,
                "size_total": status.f_blocks * status.f_frsize,
                "size_available": status.f_bavail * status.f_frsize,
                "block_size": status.f_bsize,
                "block_total": status.f_blocks,
                "block_available": status.f_bavail,
                "block_used": status.f_blocks - status.f_bavail,
                "inode_total": status.f_files,
                "inode_available": status.f_favail,
                "inode_used": status.f_files - status.f_favail,
            }
        )
    return found


def _uptime() -> dict[str, Any]:
    words = _read("/proc/uptime").split()
    load = dict(zip(("1m", "5m", "15m"), os.getloadavg()))
    return {"uptime_seconds": int(float(words[0])) if words else 0, "loadavg": load}


def _devices() -> dict[str, Any]:
    found: dict[str, Any] = {}
    base = "/sys/block"
    for name in sorted(os.listdir(base)) if os.path.isdir(base) else ():
        sectors = int(_read(f"{base}/{name}/size").strip() or 0)
        found[name] = {
            "sectors": sectors,
            "sectorsize": _read(f"{base}/{name}/queue/logical_block_size").strip() or "512",
            "size": f"{sectors * 512 / (1 << 30):.2f} GB",
            "removable": _read(f"{base}/{name}/removable").strip(),
            "rotational": _read(f"{base}/{name}/queue/rotational").strip(),
            "partitions": {part: {} for part in sorted(os.listdir(f"{base}/{name}")) if part.startswith(name)},
        }
    return {"devices": found}


def _board() -> dict[str, Any]:
    names = {
        "product_name": "product_name", "product_version": "product_version", "product_uuid": "product_uuid",
        "product_serial": "product_serial", "system_vendor": "sys_vendor", "bios_vendor": "bios_vendor",
        "bios_version": "bios_version", "bios_date": "bios_date", "board_name": "board_name",
    }  # fmt: skip
    return {name: _read(f"/sys/class/dmi/id/{file}").strip() or "NA" for name, file in names.items()}
