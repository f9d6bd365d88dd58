"""Which facts a `gather_subset` brings; what ansible-core's setup told of a host with systemd is on record."""

from __future__ import annotations

import os
import threading

import pytest

from playbooks.engine.helper.call import Failure
from playbooks.modules import _facts_devices, _facts_subsets, _facts_system, _facts_virtual

PLATFORM = {
    "architecture", "domain", "fqdn", "hostname", "kernel", "kernel_version", "machine", "machine_id", "nodename",
    "python_version", "system", "userspace_architecture", "userspace_bits",
}  # fmt: skip
DISTRIBUTION = {
    "distribution", "distribution_file_parsed", "distribution_file_path", "distribution_file_variety",
    "distribution_major_version", "distribution_minor_version", "distribution_release", "distribution_version",
    "os_family",
}  # fmt: skip
NETWORK = {
    "all_ipv4_addresses", "all_ipv6_addresses", "default_ipv4", "default_ipv6", "eth0", "interfaces", "lo",
    "locally_reachable_ips",
}  # fmt: skip
HARDWARE = {
    "bios_date", "bios_vendor", "bios_version", "board_asset_tag", "board_name", "board_serial", "board_vendor",
    "board_version", "chassis_asset_tag", "chassis_serial", "chassis_vendor", "chassis_version", "device_links",
    "devices", "flags", "form_factor", "lvm", "memfree_mb", "memory_mb", "memtotal_mb", "mounts", "processor",
    "processor_cores", "processor_count", "processor_nproc", "processor_threads_per_core", "processor_vcpus",
    "product_name", "product_serial", "product_uuid", "product_version", "swapfree_mb", "swaptotal_mb",
    "system_vendor", "uptime_seconds",
}  # fmt: skip
VIRTUAL = {f"virtualization_{word}" for word in ("role", "tech_guest", "tech_host", "type")}
MINIMAL = {
    "apparmor", "cmdline", "date_time", "dns", "effective_group_id", "effective_user_id", "env", "fips", "local", "lsb",
    "pkg_mgr", "proc_cmdline", "python", "real_group_id", "real_user_id", "selinux", "selinux_python_present",
    "service_mgr", "ssh_host_key_ed25519_public", "ssh_host_key_ed25519_public_keytype", "system_capabilities",
    "system_capabilities_enforced", "user_dir", "user_gecos", "user_gid", "user_id", "user_shell", "user_uid",
}  # fmt: skip
FURTHER = {"fibre_channel_wwn", "hostnqn", "is_chroot", "iscsi_iqn", "loadavg", "systemd"}
ALL = PLATFORM | DISTRIBUTION | NETWORK | HARDWARE | VIRTUAL | MINIMAL | FURTHER


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (["all"], ALL),
        (["!all"], MINIMAL | PLATFORM | DISTRIBUTION),
        (["min"], MINIMAL | PLATFORM | DISTRIBUTION),
        (["!all", "!min", "local"], {"local"}),
        (["!all", "!min", "network"], NETWORK | PLATFORM | DISTRIBUTION),
        (["!all", "!min", "default_ipv4"], NETWORK | PLATFORM | DISTRIBUTION),
        (["!all", "!min", "hardware"], HARDWARE | PLATFORM),
        (["!all", "!min", "mounts"], HARDWARE | PLATFORM),
        (["!all", "!min", "virtual"], VIRTUAL),
        (["!all", "!min", "pkg_mgr"], {"pkg_mgr"} | DISTRIBUTION),
        (["all", "!hardware", "!network"], ALL - HARDWARE - NETWORK),
    ],
)
def test_facts_of_subsets(asked: list[str], expected: set[str]) -> None:
    found = _facts_subsets.within(dict.fromkeys(ALL), _facts_subsets.chosen(asked))
    assert set(found) == expected


def test_a_subset_that_there_is_not() -> None:
    with pytest.raises(Failure, match="Bad subset 'bogus'"):
        _facts_subsets.chosen(["!all", "bogus"])


SAID = {
    "a program": (("printf", "a\\377"), "a\N{REPLACEMENT CHARACTER}"),
    "none": (("/nowhere/at/all",), ""),
    "one that takes too long": (("sleep", "60"), ""),
}


@pytest.mark.parametrize(("command", "expected"), SAID.values(), ids=SAID)
def test_a_program_that_does_not_tell_costs_no_other_fact(command: tuple[str, ...], expected: str) -> None:
    assert _facts_system.said(*command, timeout=0.05 if command[0] == "sleep" else 10) == expected


HOSTS: dict[str, tuple[dict[str, str], tuple[str, str, list[str], list[str]]]] = {
    "bare": ({}, ("NA", "NA", [], [])),
    "a hypervisor": ({"/proc/modules": "kvm 1 0\n"}, ("kvm", "host", [], ["kvm"])),
    "QEMU": ({"/sys/class/dmi/id/sys_vendor": "QEMU\n"}, ("kvm", "guest", ["kvm"], [])),
    "a cloud with nested KVM": (
        {"/sys/class/dmi/id/bios_vendor": "Amazon EC2", "/dev/kvm": ""}, ("kvm", "guest", ["kvm"], ["kvm"]),
    ),
    "VirtualBox": ({"/sys/class/dmi/id/bios_vendor": "innotek GmbH"}, ("virtualbox", "guest", ["virtualbox"], [])),
    "Docker on QEMU": (
        {"/.dockerenv": "", "/sys/class/dmi/id/sys_vendor": "QEMU"},
        ("docker", "guest", ["container", "docker", "kvm"], []),
    ),
    "nspawn": (
        {"/proc/1/environ": "A=b\0container=systemd-nspawn\0", "/run/systemd/container": "systemd-nspawn\n"},
        ("container", "guest", ["container", "systemd-nspawn"], []),
    ),
    "Podman": ({"/proc/1/environ": "container=podman\0"}, ("podman", "guest", ["container", "podman"], [])),
}  # fmt: skip


@pytest.mark.parametrize(("files", "expected"), HOSTS.values(), ids=HOSTS)
def test_what_a_host_runs_in(files: dict[str, str], expected: tuple[str, str, list[str], list[str]]) -> None:
    told = _facts_virtual.told(lambda path: files.get(path, ""), lambda path: path in files)
    assert tuple(told[f"virtualization_{word}"] for word in ("type", "role", "tech_guest", "tech_host")) == expected


def test_a_mount_that_does_not_answer_costs_no_other_fact(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = threading.Event()
    monkeypatch.setattr(_facts_devices.os, "statvfs", lambda path: answers.wait() and None)
    monkeypatch.setattr(_facts_devices, "_read", lambda path: "s:/x /x nfs rw 0 0\n" if path == "/proc/mounts" else "")
    found = _facts_devices._mounts(0.01)
    answers.set()
    assert [entry["note"] for entry in found] == ["Could not get extra information due to timeout"]


def test_mounts_are_asked_all_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, sizes = threading.Event(), os.statvfs("/")

    def statvfs(path: str) -> os.statvfs_result:
        asked.set() if path == "/last" else asked.wait()
        return sizes

    mounts = "".join(f"s:/x /{name} nfs rw 0 0\n" for name in ("one", "last"))
    monkeypatch.setattr(_facts_devices.os, "statvfs", statvfs)
    monkeypatch.setattr(_facts_devices, "_read", lambda path: mounts if path == "/proc/mounts" else "")
    found = _facts_devices._mounts(0)
    assert [entry["mount"] for entry in found if "note" not in entry] == ["/one", "/last"]
