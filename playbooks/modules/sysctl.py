"""Kernel parameters, now and after a restart."""

from __future__ import annotations

import os
import re
from typing import Any

from playbooks.engine.helper.call import Call, Failure
from playbooks.engine.helper.options import Option, boolean
from playbooks.modules import _files

OPTIONS = {
    "name": Option(required=True, aliases=("key",)),
    "value": Option(aliases=("val",)),
    "state": Option(default="present", choices=("absent", "present")),
    "reload": Option("bool", default=True),
    "sysctl_set": Option("bool", default=False),
    "sysctl_file": Option(default="/etc/sysctl.conf"),
    "ignoreerrors": Option("bool", default=False),
}


def run(call: Call) -> dict[str, Any]:
    """Ansible's result of `sysctl`."""
    name, value = call["name"].strip(), _value(call["value"])
    if call["state"] == "present" and value is None:
        raise Failure("value cannot be None", name=name)
    path = os.path.realpath(call["sysctl_file"])
    before = _files.read(path).decode("utf-8", "surrogateescape")
    after = _edited(before, name, value if call["state"] == "present" else None)
    changed = before != after
    if call["sysctl_set"] and call["state"] == "present" and _kernel(name) != value:
        changed = True
        if not call.check:
            _apply(call, ["sysctl", "-w", f"{name}={value}"])
    if before != after and not call.check:
        _files.write(call, path, after.encode("utf-8", "surrogateescape"))
        if call["reload"]:
            _apply(call, ["sysctl", "-p", path])
    result: dict[str, Any] = {"changed": changed}
    if call.diff and before != after:
        result["diff"] = [_files.text_diff(path, before.encode(), after.encode())]
    return result


def _value(value: Any) -> str | None:
    if value is None:
        return None
    text = " ".join(str(value).split())
    if text.lower() in ("true", "false", "yes", "no", "on", "off"):
        return "1" if boolean(text) else "0"
    return text


def _kernel(name: str) -> str:
    """The kernel's value; a parameter it does not have is "". Dots in interface names are written as slashes."""
    path = "/proc/sys/" + (name if "/" in name else name.replace(".", "/"))
    try:
        with open(path) as stream:
            return " ".join(stream.read().split())
    except OSError:
        return ""


def _edited(text: str, name: str, value: str | None) -> str:
    line_of = re.compile(rf"^\s*-?{re.escape(name)}\s*=")
    kept: list[str] = []
    written = False
    for line in text.splitlines():
        if not line_of.match(line):
            kept.append(line)
        elif value is not None and not written:
            same = " ".join(line.split("=", 1)[1].split()) == value
            kept.append(line if same else f"{name}={value}")
            written = True
    if value is not None and not written:
        kept.append(f"{name}={value}")
    return "\n".join(kept) + ("\n" if kept else "")


def _apply(call: Call, command: list[str]) -> None:
    words = [command[0], *(["-e"] if call["ignoreerrors"] else []), *command[1:]]
    done = call.run(words, environment={"LC_ALL": "C"})
    if done.status != 0 and not call["ignoreerrors"]:
        raise Failure(f"Failed to reload sysctl: {done.err.strip() or done.out.strip()}")
