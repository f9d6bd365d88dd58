"""Facts of virtualization: what the host runs in, and what can run in it.

Invariant: `told` is pure; what runs innermost is the type, and everything that was seen is in the lists.
"""

from __future__ import annotations

import os
import re
from typing import Any, Callable

from playbooks.modules._facts_system import _read

_IN_GROUPS = (
    ("docker", r"/docker(/|-[0-9a-f]+\.scope)"),
    ("lxc", r"/lxc/|/machine\.slice/machine-lxc"),
    ("containerd", r"/system\.slice/containerd\.service"),
)
# What of these names a file below /sys/class/dmi/id has, and what it means.
_BY_MAKER = (
    ("product_name", "kvm", "KVM|KVM Server|Bochs|AHV|CloudStack KVM Hypervisor"),
    ("sys_vendor", "oVirt", "oVirt"),
    ("product_name", "RHEV", "RHEV Hypervisor"),
    ("product_name", "VMware", "VMware.*"),
    ("product_name", "openstack", "OpenStack Compute|OpenStack Nova"),
    ("bios_vendor", "xen", "Xen"),
    ("bios_vendor", "virtualbox", "innotek GmbH"),
    ("bios_vendor", "kvm", "Amazon EC2|DigitalOcean|Hetzner|Linode"),
    ("sys_vendor", "kvm", "QEMU|Amazon EC2|DigitalOcean|Google|Scaleway|Nutanix"),
    ("sys_vendor", "KubeVirt", "KubeVirt"),
    ("sys_vendor", "VirtualPC", "Microsoft Corporation"),
    ("sys_vendor", "parallels", r"Parallels Software International Inc\."),
    ("sys_vendor", "openstack", "OpenStack Foundation"),
)


def facts() -> dict[str, Any]:
    """All of them, without the prefix."""
    return told(_read, os.path.exists)


def told(read: Callable[[str], str], exists: Callable[[str], bool]) -> dict[str, Any]:
    """What files of a host, and whether some are there, say about it."""
    containers, machines = _containers(read, exists), _machines(read)
    modules = {line.split(" ", 1)[0] for line in read("/proc/modules").splitlines()}
    found = [(name, "guest") for name in [*containers, *machines]]
    if "kvm" in modules:
        found.append(("kvm", "host"))
    if "vboxdrv" in modules:
        found.append(("virtualbox", "host"))
    if "virtio" in modules:
        found.append(("kvm", "guest"))
    if exists("/dev/kvm"):
        found.append(("kvm", "host"))
    kind, role = found[0] if found else ("NA", "NA")
    host = {name for name, side in found if side == "host"} | ({"kvm"} if "virtio" in modules else set())
    guest = {*containers, *machines} | ({"container"} if containers else set())
    return {
        "virtualization_type": kind,
        "virtualization_role": role,
        "virtualization_tech_guest": sorted(guest),
        "virtualization_tech_host": sorted(host),
    }


def _containers(read: Callable[[str], str], exists: Callable[[str], bool]) -> list[str]:
    groups = read("/proc/1/cgroup")
    found = [name for name, pattern in _IN_GROUPS if re.search(pattern, groups)]
    said = [line.partition("=")[2] for line in read("/proc/1/environ").split("\0") if line.startswith("container=")]
    for name in filter(None, said):
        found += [name] if name in ("lxc", "podman") else []
        found.append("container")
    if systemd := read("/run/systemd/container").strip():
        found.append(systemd)
    if exists("/.dockerenv") or exists("/.dockerinit"):
        found.append("docker")
    return found or (["podman"] if exists("/run/.containerenv") else [])


def _machines(read: Callable[[str], str]) -> list[str]:
    found = [
        name for file, name, pattern in _BY_MAKER if re.fullmatch(pattern, read(f"/sys/class/dmi/id/{file}").strip())
    ]
    if re.search("^model name.*QEMU Virtual CPU", read("/proc/cpuinfo"), re.MULTILINE):
        found.append("kvm")
    return found
