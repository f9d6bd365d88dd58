"""Says as facts which packages the host has, and of which versions."""

from __future__ import annotations

import shutil
from typing import Any

from playbooks.engine.helper.call import Call, Failure
from playbooks.engine.helper.options import Option

OPTIONS = {
    "manager": Option("list", default=("auto",), elements="str"),
    "strategy": Option(default="first", choices=("first", "all")),
}
_DPKG = "${db:Status-Abbrev}\t${Package}\t${Version}\t${Architecture}\t${Section}\t${Origin}\n"
_RPM = "%{NAME}\t%{VERSION}\t%{RELEASE}\t%{EPOCH}\t%{ARCH}\n"


def run(call: Call) -> dict[str, Any]:
    """Ansible's result of `package_facts`, for hosts with dpkg or rpm."""
    if shutil.which("dpkg-query"):
        packages = _of_dpkg(call)
    elif shutil.which("rpm"):
        packages = _of_rpm(call)
    else:
        raise Failure("Could not detect a supported package manager: there is neither dpkg-query nor rpm")
    return {"changed": False, "ansible_facts": {"packages": packages}}


def _of_dpkg(call: Call) -> dict[str, list[dict[str, str]]]:
    found: dict[str, list[dict[str, str]]] = {}
    for line in call.checked(["dpkg-query", "--show", "--showformat", _DPKG]).out.splitlines():
        status, name, version, architecture, section, origin = line.split("\t")
        if status.startswith("ii"):
            about = {
                "name": name, "version": version, "arch": architecture, "category": section, "origin": origin,
                "source": "apt",
            }  # fmt: skip
            found.setdefault(name, []).append(about)
    return found


def _of_rpm(call: Call) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for line in call.checked(["rpm", "-qa", "--queryformat", _RPM]).out.splitlines():
        name, version, release, epoch, architecture = line.split("\t")
        about = {
            "name": name, "version": version, "release": release, "arch": architecture, "source": "rpm",
            "epoch": None if epoch == "(none)" else int(epoch),
        }  # fmt: skip
        found.setdefault(name, []).append(about)
    return found
