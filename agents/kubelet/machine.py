"""What the machine offers: processors, memory, disk, identity and addresses.

`read_machine` is the only part that looks at the machine; hollow nodes make a `Machine` up.

Invariant: values in bytes, cores and counts; nothing is assumed where the machine can say.
Source: core/v1 NodeSystemInfo and NodeStatus.
"""

from __future__ import annotations

import os
import platform
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

_HUGE_PAGES = Path("/sys/kernel/mm/hugepages")
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "s390x": "s390x", "ppc64le": "ppc64le"}


class HugePages(NamedTuple):
    """How many pages of a size, in bytes, the machine keeps for who asks for them."""

    size: int
    pages: int


@dataclass(frozen=True, slots=True)
class Machine:
    """One machine's facts."""

    cpus: int
    memory: int
    disk: int
    architecture: str = "amd64"
    hostname: str = ""
    addresses: tuple[str, ...] = ()
    machine_id: str = ""
    boot_id: str = ""
    kernel: str = ""
    os_image: str = ""
    huge_pages: tuple[HugePages, ...] = ()
    swap: int = 0


@dataclass(frozen=True, slots=True)
class Pressure:
    """What is short on the machine now, in bytes and counts; whether images lie on a disk of their own.

    `pods_memory_total` is what all pods may use together, 0 without such a limit.
    """

    memory_available: int
    disk_available: int
    disk_total: int
    processes_available: int
    memory_total: int = 0
    inodes_available: int = 0
    inodes_total: int = 0
    image_disk_available: int = 0
    image_disk_total: int = 0
    image_inodes_available: int = 0
    image_inodes_total: int = 0
    processes_total: int = 0
    images_apart: bool = False
    pods_memory_available: int = 0
    pods_memory_total: int = 0


def read_machine(root_directory: Path, node_ip: str = "") -> Machine:
    """This machine; the disk is the one that holds `root_directory`."""
    disk, memory = os.statvfs(root_directory), _meminfo()
    return Machine(
        cpus=len(os.sched_getaffinity(0)),
        memory=memory["MemTotal"],
        disk=disk.f_frsize * disk.f_blocks,
        architecture=_ARCHITECTURES.get(platform.machine(), platform.machine()),
        hostname=socket.gethostname(),
        addresses=tuple(node_ip.split(",")) if node_ip else (default_address(),),
        machine_id=_text("/etc/machine-id"),
        boot_id=_text("/proc/sys/kernel/random/boot_id"),
        kernel=platform.release(),
        os_image=_os_image(),
        huge_pages=read_huge_pages(_HUGE_PAGES),
        swap=memory.get("SwapTotal", 0),
    )


def read_huge_pages(root: Path) -> tuple[HugePages, ...]:
    """The sizes that the kernel knows, the smallest first, each with its pages."""
    found = []
    for entry in root.glob("hugepages-*kB"):
        size = int(entry.name.removeprefix("hugepages-").removesuffix("kB")) * 1024
        found.append(HugePages(size, int(_text(str(entry / "nr_hugepages")) or 0)))
    return tuple(sorted(found))


def read_pressure(root_directory: Path, image_directory: Path) -> Pressure:
    """How much of memory, disk and processes is left now; images lie on the disk of `image_directory`."""
    disk = os.statvfs(root_directory)
    of_images = image_directory if image_directory.exists() else root_directory
    images = os.statvfs(of_images)
    memory = _meminfo()
    # A thread takes an id as a process does: the fourth word is running/all.
    running = int(_text("/proc/loadavg").split()[3].partition("/")[2])
    limit = min(int(_text(f"/proc/sys/kernel/{name}") or 32768) for name in ("pid_max", "threads-max"))
    return Pressure(
        memory_available=memory.get("MemAvailable", 0),
        disk_available=disk.f_frsize * disk.f_bavail,
        disk_total=disk.f_frsize * disk.f_blocks,
        processes_available=limit - running,
        memory_total=memory["MemTotal"],
        inodes_available=disk.f_favail,
        inodes_total=disk.f_files,
        image_disk_available=images.f_frsize * images.f_bavail,
        image_disk_total=images.f_frsize * images.f_blocks,
        image_inodes_available=images.f_favail,
        image_inodes_total=images.f_files,
        processes_total=limit,
        images_apart=of_images.stat().st_dev != root_directory.stat().st_dev,
    )


def default_address() -> str:
    """The address this machine uses towards others: that of its default route, else loopback.

    Connecting a datagram socket asks the kernel for a route and sends nothing.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return "127.0.0.1"
        return str(probe.getsockname()[0])


def _meminfo() -> dict[str, int]:
    found = {}
    for line in _text("/proc/meminfo").splitlines():
        name, _, value = line.partition(":")
        found[name] = int(value.split()[0]) * 1024
    return found


def _os_image() -> str:
    for line in _text("/etc/os-release").splitlines():
        name, _, value = line.partition("=")
        if name == "PRETTY_NAME":
            return value.strip('"')
    return platform.system()


def _text(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""
