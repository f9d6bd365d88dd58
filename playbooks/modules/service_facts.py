"""Says as facts which services the host has, and how they are."""

from __future__ import annotations

import re
import shutil
from typing import Any

from playbooks.engine.helper.call import Call
from playbooks.engine.helper.options import Options

OPTIONS: Options = {}
_BAD = ("not-found", "masked", "failed")
_OF_INIT = re.compile(r"^\s*\[ (\+|-) \]\s+(.+)$", re.MULTILINE)
_LIST = ["--no-pager", "--type", "service", "--all"]


def run(call: Call) -> dict[str, Any]:
    """Ansible's result of `service_facts`: what init scripts say, and what systemd says."""
    services = {**_of_scripts(call), **_of_systemd(call)}
    if not services:
        message = "Failed to find any services. This can be due to privileges or some other configuration issue."
        return {"changed": False, "skipped": True, "msg": message}
    return {"changed": False, "ansible_facts": {"services": services}}


def _of_scripts(call: Call) -> dict[str, dict[str, str]]:
    if not shutil.which("service"):
        return {}
    found = _OF_INIT.findall(call.run(["service", "--status-all"]).out)
    states = {"+": "running", "-": "stopped"}
    return {name: {"name": name, "state": states[sign], "source": "sysv"} for sign, name in found}


def _of_systemd(call: Call) -> dict[str, dict[str, str]]:
    services: dict[str, dict[str, str]] = {}
    units = call.run(["systemctl", "list-units", *_LIST, "--plain"]) if shutil.which("systemctl") else None
    if units is None or units.status != 0:
        return {}
    for fields in (line.split() for line in units.out.splitlines() if ".service" in line):
        status = next((bad for bad in _BAD if bad in fields[:-1]), fields[2])
        state = "running" if fields[3] == "running" else "stopped"
        services[fields[0]] = {"name": fields[0], "state": state, "status": status, "source": "systemd"}
    files = call.checked(["systemctl", "list-unit-files", *_LIST]).out
    listed = [tuple(line.split()[:2]) for line in files.splitlines() if ".service" in line]
    states = _states(call, [name for name, _ in listed if name not in services])
    for name, status in listed:
        if name in services:
            if services[name]["status"] not in _BAD:
                services[name]["status"] = status
        else:
            services[name] = {"name": name, "state": states[name], "status": status, "source": "systemd"}
    return services


def _states(call: Call, names: list[str]) -> dict[str, str]:
    """Whether units are active, asked for all at once."""
    if not names:
        return {}
    # Templates have no state of their own, and systemctl refuses the whole question for one of them.
    asked = [name for name in names if "@." not in name]
    said = call.run(["systemctl", "show", "--property=ActiveState", *asked]).out if asked else ""
    answers = [line.partition("=")[2] for line in said.splitlines() if line]
    return {**dict.fromkeys(names, "unknown"), **dict(zip(asked, answers))}
