"""Facts that a program of the host has to tell, and those of storage networks.

Invariant: where a program is missing, the fact says so as Ansible's does.
"""

from __future__ import annotations

import glob
import os
from typing import Any

from playbooks.modules._facts_system import _read, said


def facts() -> dict[str, Any]:
    """All of them, without the prefix."""
    found = {**_capabilities(), **_systemd(), "locally_reachable_ips": _reachable()}
    names = glob.glob("/sys/class/fc_host/*/port_name")
    found["fibre_channel_wwn"] = [_read(name).strip()[2:] for name in sorted(names)]
    initiator = _read("/etc/iscsi/initiatorname.iscsi").splitlines()
    found["iscsi_iqn"] = next((line[14:].strip() for line in initiator if line.startswith("InitiatorName=")), "")
    found["hostnqn"] = _read("/etc/nvme/hostnqn").strip()
    return found


def _capabilities() -> dict[str, Any]:
    for line in said("capsh", "--print").splitlines():
        if line.startswith("Current:"):
            words = line.partition(":")[2].strip()
            if words == "=ep":
                return {"system_capabilities_enforced": "False", "system_capabilities": []}
            listed = line.partition("=")[2].split("=")[0] if "=" in line else ""
            return {
                "system_capabilities_enforced": "True",
                "system_capabilities": [part.strip() for part in listed.split(",")],
            }
    return {"system_capabilities_enforced": "N/A", "system_capabilities": "N/A"}


def _systemd() -> dict[str, Any]:
    lines = said("systemctl", "--version").splitlines() if os.path.isdir("/run/systemd/system") else []
    words = lines[0].split() if lines else []
    if len(words) < 2 or not words[1].isdigit():
        return {}
    return {"systemd": {"features": lines[1] if len(lines) > 1 else "", "version": int(words[1])}}


def _reachable() -> dict[str, list[str]]:
    """Addresses and nets that the host itself answers for."""
    found = {}
    for family in ("4", "6"):
        lines = [line.split() for line in said("ip", f"-{family}", "route", "show", "table", "local").splitlines()]
        found[f"ipv{family}"] = [words[1] for words in lines if len(words) > 1 and words[0] == "local"]
    return found
