"""Which facts a `gather_subset` asks for: the groups of Ansible's setup module, and the facts in each.

Invariant: pure. A group that others are made from comes along with them, as in Ansible.
"""

from __future__ import annotations

import re
from typing import Any, Iterable, Mapping

from playbooks.engine.helper.call import Failure

MINIMAL = frozenset(
    (
        "apparmor", "caps", "cmdline", "date_time", "distribution", "dns", "env", "fips", "local", "lsb", "pkg_mgr",
        "platform", "python", "selinux", "service_mgr", "ssh_pub_keys", "user",
    )
)  # fmt: skip
# The group of every fact whose name is not that of its group; of one that is not here it is the network.
_PATTERNS = {
    "caps": "system_capabilities.*",
    "chroot": "is_chroot",
    "cmdline": "proc_cmdline",
    "distribution": "distribution_.*|os_family",
    "fibre_channel_wwn": "fibre_channel_wwn",
    "hardware": (
        "processor.*|mem.*_mb|swap.*_mb|devices|device_links|mounts|uptime_seconds|lvm|flags|form_factor|product_.*|"
        "bios_.*|board_.*|chassis_.*|system_vendor"
    ),
    "iscsi": "iscsi_iqn",
    "nvme": "hostnqn",
    "platform": (
        "system|kernel|kernel_version|machine|machine_id|architecture|python_version|userspace_.*|fqdn|hostname|"
        "nodename|domain"
    ),
    "selinux": "selinux_python_present",
    "ssh_pub_keys": "ssh_host_key_.*",
    "user": "user_.*|(real|effective)_(user|group)_ids?",
    "virtual": "virtualization_.*",
}
_PLAIN = frozenset(
    (
        "apparmor", "cmdline", "date_time", "distribution", "dns", "env", "fips", "loadavg", "local", "lsb", "pkg_mgr",
        "python", "selinux", "service_mgr", "systemd",
    )
)  # fmt: skip
# By what other name a group may be asked for: that of a fact in it.
_ALIASES: Mapping[str, frozenset[str]] = {
    "caps": frozenset(("system_capabilities", "system_capabilities_enforced")),
    "chroot": frozenset(("is_chroot",)),
    "distribution": frozenset(
        ("distribution_version", "distribution_release", "distribution_major_version", "os_family")
    ),
    "hardware": frozenset(("processor", "processor_cores", "processor_count", "mounts", "devices")),
    "network": frozenset(("interfaces", "default_ipv4", "default_ipv6", "all_ipv4_addresses", "all_ipv6_addresses")),
    "platform": frozenset(
        ("system", "kernel", "kernel_version", "machine", "python_version", "architecture", "machine_id")
    ),
    "ssh_pub_keys": frozenset(
        ("ssh_host_pub_keys", *(f"ssh_host_key_{kind}_public" for kind in ("dsa", "rsa", "ecdsa", "ed25519")))
    ),
    "user": frozenset(
        (
            "user_id", "user_uid", "user_gid", "user_gecos", "user_dir", "user_shell", "real_user_id",
            "effective_user_id", "effective_group_ids",
        )
    ),
    "virtual": frozenset(
        ("virtualization_type", "virtualization_role", "virtualization_tech_guest", "virtualization_tech_host")
    ),
}  # fmt: skip
_FURTHER = frozenset(
    (
        "chroot",
        "facter",
        "fibre_channel_wwn",
        "hardware",
        "iscsi",
        "loadavg",
        "network",
        "nvme",
        "ohai",
        "systemd",
        "virtual",
    )
)
GROUPS = MINIMAL | _FURTHER
_NEEDS = {
    "network": ("distribution", "platform"),
    "hardware": ("platform",),
    "pkg_mgr": ("distribution",),
    "service_mgr": ("distribution", "platform"),
}


def chosen(asked: Iterable[str]) -> frozenset[str]:
    """The groups that are gathered. Raises Failure for one that there is not."""
    valid = GROUPS | frozenset(alias for aliases in _ALIASES.values() for alias in aliases)
    wanted: set[str] = set(MINIMAL)
    unwanted: set[str] = set()
    named: set[str] = set()
    for word in asked:
        if word == "all":
            wanted |= GROUPS
        elif word == "min":
            wanted |= MINIMAL
        elif word == "!min":
            unwanted |= MINIMAL
        elif word == "!all":
            unwanted |= GROUPS - MINIMAL
        elif word.startswith("!"):
            unwanted |= {_group(word[1:])}
        elif word in valid:
            named.add(_group(word))
        else:
            raise Failure(
                f"Bad subset '{word}' given to Ansible. gather_subset options allowed: all, {', '.join(sorted(valid))}"
            )
    found = (wanted - unwanted) | named
    return frozenset(found.union(*(_NEEDS.get(group, ()) for group in found)))


def _group(word: str) -> str:
    return next((group for group, aliases in _ALIASES.items() if word in aliases), word)


def of_fact(name: str) -> str:
    """The group that a fact is in."""
    if name in _PLAIN:
        return name
    return next((group for group, pattern in _PATTERNS.items() if re.fullmatch(pattern, name)), "network")


def within(facts: Mapping[str, Any], groups: frozenset[str]) -> dict[str, Any]:
    """Those of the facts that are in one of the groups."""
    return {name: value for name, value in facts.items() if of_fact(name) in groups}
