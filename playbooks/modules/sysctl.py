"""Kernel parameters, now and after a restart."""

from __future__ import annotations

import os
import re
from typing import Any

from playbooks.engine.helper.call import Call, Failure
from playbooks.engine.helper.options import FALSE, TRUE, Option
from playbooks.modules import _files

OPTIONS = {
    "name": Option(required=True, aliases=("key",)),
    "value": Option(aliases=("val",)),
    "state": Option(default="present", choices=("absent", "present")),
    "reload": Option("bool", default=True),
    "sysctl_set": Option("bool", default=False),
    "sysctl_file": Option("path", default="/etc/sysctl.conf"),
    "ignoreerrors": Option("bool", default=False),
}
# With some errors the program's exit status is 0 nevertheless.
_REFUSED = re.compile(r'^sysctl: setting key "[^"]+": (Invalid argument|Read-only file system)$', re.MULTILINE)


def run(call: Call) -> dict[str, Any]:
    """Ansible's result of `sysctl`."""
    name, present = call["name"].strip(), call["state"] == "present"
    if present and call["value"] is None:
        raise Failure("state is present but all of the following are missing: value")
    for word in ("name", "value") if present else ("name",):
        if call[word] == "":
            raise Failure(f"{word} cannot be blank")
    value = _value(call["value"]) if present else ""
    path = os.path.realpath(call["sysctl_file"])
    before = _files.read(path).decode("utf-8", "surrogateescape")
    after = _edited(before, name, value if present else None)
    edited = before != after
    other = present and _kernel(name) != value.split()
    changed = edited or (other and (call["sysctl_set"] or call["reload"]))
    if not call.check:
        if other and call["sysctl_set"]:
            _apply(call, ["-w", f"{name}={value}"], f"setting {name} failed")
        if edited:
            _files.write(call, path, after.encode("utf-8", "surrogateescape"))
        if changed and call["reload"]:
            _apply(call, ["-p", path], "Failed to reload sysctl")
    result: dict[str, Any] = {"changed": changed}
    if call.diff and edited:
        result["diff"] = [_files.difference(path, before, after)]
    return result


def _value(text: str) -> str:
    """A value as it is written; words for true and false are numbers to the kernel."""
    word = text.lower()
    return "1" if word in TRUE else "0" if word in FALSE else text.strip()


def _kernel(name: str) -> list[str]:
    """The words of the kernel's value, none of what it does not have."""
    # Dots part a name, and a slash stands for a dot in an interface's; or the other way round.
    dotted = "/" not in name or "." in name.partition("/")[0]
    path = name.translate(str.maketrans("./", "/.")) if dotted else name
    try:
        with open("/proc/sys/" + path) as stream:
            return stream.read().split()
    except OSError:
        return []


def _edited(text: str, name: str, value: str | None) -> str:
    line_of = re.compile(rf"^\s*-?{re.escape(name)}\s*=")
    kept: list[str] = []
    written = False
    for line in text.splitlines():
        if not line_of.match(line):
            kept.append(line)
        elif value is not None and not written:
            same = line.split("=", 1)[1].strip() == value
            kept.append(line if same else f"{name}={value}")
            written = True
    if value is not None and not written:
        kept.append(f"{name}={value}")
    return text if kept == text.splitlines() else "\n".join(kept) + ("\n" if kept else "")


def _apply(call: Call, words: list[str], what: str) -> None:
    """Run the program, which with `ignoreerrors` passes over parameters that the kernel does not have."""
    done = call.run(["sysctl", *(["-e"] if call["ignoreerrors"] else []), *words], environment={"LC_ALL": "C"})
    if done.status != 0 or _REFUSED.search(done.err):
        raise Failure(f"{what}: {(done.err + done.out).strip()}")
