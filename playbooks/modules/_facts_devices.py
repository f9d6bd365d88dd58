"""Facts of what the machine is built from: block devices with their links, the board, volumes, mounts."""

from __future__ import annotations

import os
import shutil
import threading
import time
from typing import Any, Sequence

from playbooks.modules._facts_system import _read, said

_UNITS = (("TB", 1 << 40), ("GB", 1 << 30), ("MB", 1 << 20), ("KB", 1 << 10))
_LINKS = {"ids": "by-id", "uuids": "by-uuid", "labels": "by-label"}
# Kinds of chassis by their number in the firmware's tables: SMBIOS, "System Enclosure or Chassis".
_CHASSIS = (
    "Unknown", "Other", "Unknown", "Desktop", "Low Profile Desktop", "Pizza Box", "Mini Tower", "Tower", "Portable",
    "Laptop", "Notebook", "Hand Held", "Docking Station", "All In One", "Sub Notebook", "Space-saving", "Lunch Box",
    "Main Server Chassis", "Expansion Chassis", "Sub Chassis", "Bus Expansion Chassis", "Peripheral Chassis",
    "RAID Chassis", "Rack Mount Chassis", "Sealed-case PC", "Multi-system", "CompactPCI", "AdvancedTCA", "Blade",
    "Blade Enclosure", "Tablet", "Convertible", "Detachable", "IoT Gateway", "Embedded PC", "Mini PC", "Stick PC",
)  # fmt: skip
_BOARD = {
    "product_name": "product_name", "product_version": "product_version", "product_uuid": "product_uuid",
    "product_serial": "product_serial", "system_vendor": "sys_vendor", "bios_vendor": "bios_vendor",
    "bios_version": "bios_version", "bios_date": "bios_date", "board_name": "board_name",
    "board_asset_tag": "board_asset_tag", "board_serial": "board_serial", "board_vendor": "board_vendor",
    "board_version": "board_version", "chassis_asset_tag": "chassis_asset_tag", "chassis_serial": "chassis_serial",
    "chassis_vendor": "chassis_vendor", "chassis_version": "chassis_version",
}  # fmt: skip
# Ansible's default, also where none is given.
_PATIENCE = 10.0


def facts(patience: float = _PATIENCE) -> dict[str, Any]:
    """All of them, without the prefix; mounts that do not answer in these seconds have no sizes."""
    links = _links()
    told = {"devices": _devices(links), "device_links": links, "mounts": _mounts(patience)}
    return {**told, "lvm": _volumes(), **_board()}


def _links() -> dict[str, dict[str, list[str]]]:
    found: dict[str, dict[str, list[str]]] = {kind: {} for kind in (*_LINKS, "masters")}
    for kind, name in _LINKS.items():
        directory = f"/dev/disk/{name}"
        for link in sorted(os.listdir(directory)) if os.path.isdir(directory) else ():
            target = os.path.basename(os.path.realpath(os.path.join(directory, link)))
            found[kind].setdefault(target, []).append(link)
    for name in sorted(os.listdir("/sys/block")) if os.path.isdir("/sys/block") else ():
        slaves = f"/sys/block/{name}/slaves"
        for slave in sorted(os.listdir(slaves)) if os.path.isdir(slaves) else ():
            found["masters"].setdefault(slave, []).append(name)
    return found


def _of(links: dict[str, dict[str, list[str]]], name: str) -> dict[str, list[str]]:
    return {kind: links[kind].get(name, []) for kind in ("ids", "uuids", "labels", "masters")}


def _devices(links: dict[str, dict[str, list[str]]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    base = "/sys/block"
    for name in sorted(os.listdir(base)) if os.path.isdir(base) else ():
        path = f"{base}/{name}"
        sectors = int(_read(f"{path}/size").strip() or 0)
        scheduler = _read(f"{path}/queue/scheduler").partition("[")[2].partition("]")[0]
        found[name] = {
            "virtual": 1,
            "links": _of(links, name),
            "vendor": _read(f"{path}/device/vendor").strip() or None,
            "model": _read(f"{path}/device/model").strip() or None,
            "sas_address": _read(f"{path}/device/sas_address").strip() or None,
            "sas_device_handle": _read(f"{path}/device/sas_device_handle").strip() or None,
            "removable": _read(f"{path}/removable").strip(),
            "support_discard": _read(f"{path}/queue/discard_granularity").strip(),
            "partitions": {part: _partition(f"{path}/{part}", part, links) for part in _parts(path, name)},
            "rotational": _read(f"{path}/queue/rotational").strip(),
            "scheduler_mode": scheduler or ("none" if _read(f"{path}/queue/scheduler").strip() == "none" else ""),
            "sectors": sectors,
            "sectorsize": _read(f"{path}/queue/logical_block_size").strip() or "512",
            "size": _human(sectors * 512),
            "host": "",
            "holders": sorted(os.listdir(f"{path}/holders")) if os.path.isdir(f"{path}/holders") else [],
        }
    return found


def _parts(path: str, name: str) -> list[str]:
    return [part for part in sorted(os.listdir(path)) if part.startswith(name)]


def _partition(path: str, name: str, links: dict[str, dict[str, list[str]]]) -> dict[str, Any]:
    sectors = int(_read(f"{path}/size").strip() or 0)
    uuids = links["uuids"].get(name, [])
    return {
        "links": _of(links, name),
        "start": _read(f"{path}/start").strip(),
        "sectors": sectors,
        "sectorsize": int(_read(f"{path}/queue/logical_block_size").strip() or 512),
        "size": _human(sectors * 512),
        "uuid": uuids[0] if uuids else None,
        "holders": sorted(os.listdir(f"{path}/holders")) if os.path.isdir(f"{path}/holders") else [],
    }


def _human(size: int) -> str:
    unit, factor = next(((unit, factor) for unit, factor in _UNITS if size >= factor), ("Bytes", 1))
    return f"{size / factor:.2f} {unit}"


def _mounts(patience: float) -> list[dict[str, Any]]:
    found, asked = [], []
    uuids = _links()["uuids"]
    for line in _read("/proc/mounts").splitlines():
        device, point, kind, options, dump, order = line.split()[:6]
        if kind == "none" or not (device.startswith(("/", "\\")) or ":/" in device):
            continue
        entry: dict[str, Any] = {
            "mount": point.replace("\\040", " "), "device": device, "fstype": kind, "options": options,
            "dump": int(dump), "passno": int(order),
        }  # fmt: skip
        found.append(entry)
        asked.append(_Status(entry["mount"]))
    end = time.monotonic() + (patience if patience > 0 else _PATIENCE)
    for entry, question in zip(found, asked):
        status = question.answer(end)
        if not isinstance(status, os.statvfs_result):
            entry["note"] = f"Could not get extra information{status}"
            continue
        entry.update(
            size_total=status.f_blocks * status.f_frsize, size_available=status.f_bavail * status.f_frsize,
            block_size=status.f_bsize, block_total=status.f_blocks, block_available=status.f_bavail,
            block_used=status.f_blocks - status.f_bavail, inode_total=status.f_files,
            inode_available=status.f_favail, inode_used=status.f_files - status.f_favail,
            uuid=next(iter(uuids.get(os.path.basename(os.path.realpath(entry["device"])), ())), "N/A"),
        )  # fmt: skip
    return found


class _Status:
    """Asks for the sizes of a file system, or why there are none: a server that is gone would hold that forever."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._found: os.statvfs_result | str = " due to timeout"
        self._asking = threading.Thread(target=self._ask, daemon=True)
        self._asking.start()

    def _ask(self) -> None:
        try:
            self._found = os.statvfs(self._path)
        except OSError as error:
            self._found = f": {error}"

    def answer(self, end: float) -> os.statvfs_result | str:
        """What is known at that time of the monotonic clock, or before."""
        self._asking.join(max(0.0, end - time.monotonic()))
        return self._found


def _board() -> dict[str, Any]:
    found = {name: _read(f"/sys/class/dmi/id/{file}").strip() or "NA" for name, file in _BOARD.items()}
    kind = _read("/sys/class/dmi/id/chassis_type").strip()
    form = _CHASSIS[int(kind)] if kind.isdigit() and int(kind) < len(_CHASSIS) else "unknown" if kind else "NA"
    return {**found, "form_factor": form}


def _volumes() -> Any:
    """Volume groups, logical and physical volumes, if there are tools that tell and leave to use them."""
    if os.geteuid() != 0 or not shutil.which("vgs"):
        return "N/A"
    words = ("--noheadings", "--nosuffix", "--units", "g", "--separator", ",")
    groups = {row[0]: row for row in _rows(["vgs", *words])}
    logical = {row[0]: row for row in _rows(["lvs", *words])}
    physical = {row[0]: row for row in _rows(["pvs", *words])}
    return {
        "lvs": {name: {"size_g": row[3], "vg": row[1]} for name, row in logical.items()},
        "vgs": {
            name: {"size_g": row[-2], "free_g": row[-1], "num_lvs": row[2], "num_pvs": row[1]}
            for name, row in groups.items()
        },
        "pvs": {name: {"size_g": row[4], "free_g": row[5], "vg": row[1]} for name, row in physical.items()},
    }


def _rows(command: Sequence[str]) -> list[list[str]]:
    return [line.strip().split(",") for line in said(*command, timeout=30).splitlines() if line.strip()]
