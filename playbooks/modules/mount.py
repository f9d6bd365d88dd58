"""Mounts, now and after a restart."""

from __future__ import annotations

import os
from typing import Any

from playbooks.engine.helper.call import Call, Failure
from playbooks.engine.helper.options import Option
from playbooks.modules import _files

OPTIONS = {
    "path": Option(required=True, aliases=("name",)),
    "src": Option(),
    "fstype": Option(),
    "opts": Option(default="defaults"),
    "dump": Option(default="0"),
    "passno": Option(default="0"),
    "state": Option(
        required=True,
        choices=("absent", "absent_from_fstab", "ephemeral", "mounted", "present", "remounted", "unmounted"),
    ),
    "fstab": Option(default="/etc/fstab"),
    "boot": Option("bool", default=True),
    "backup": Option("bool", default=False),
}


def run(call: Call) -> dict[str, Any]:
    """Ansible's result of `mount`."""
    path, state = call["path"].rstrip("/") or "/", call["state"]
    names = ("src", "fstype", "opts", "dump", "passno", "fstab")
    result: dict[str, Any] = {"name": path, "changed": False, **{name: call[name] for name in names}}
    result.update(boot="yes" if call["boot"] else "no", backup_file="")
    if call["fstype"] is None:
        del result["fstype"]
    if state in ("present", "mounted", "ephemeral") and not (call["src"] and call["fstype"]):
        raise Failure(f"state is {state} but all of the following are missing: src, fstype")
    if state in ("present", "mounted"):
        result["changed"] = _set(call, path, result)
    if state in ("absent", "absent_from_fstab"):
        result["changed"] = _write(call, [line for line in _lines(call) if not _is(line, path)], result)
    mounted = os.path.ismount(path)
    if state in ("absent", "unmounted") and mounted:
        _do(call, result, ["umount", path])
    if state == "absent" and os.path.isdir(path) and not call.check and not os.listdir(path):
        os.rmdir(path)
        result["changed"] = True
    if state in ("mounted", "ephemeral"):
        _mount(call, path, mounted, result)
    if state == "remounted":
        if not mounted:
            raise Failure(f"{path} is not mounted")
        _do(call, result, ["mount", "-o", "remount", path])
    return result


def _mount(call: Call, path: str, mounted: bool, result: dict[str, Any]) -> None:
    if not os.path.isdir(path) and not call.check and not os.path.exists(path):
        os.makedirs(path)
    if not mounted:
        options = ["-t", call["fstype"], "-o", call["opts"], call["src"], path]
        _do(call, result, ["mount", *(options if call["state"] == "ephemeral" else [path])])
    elif result["changed"]:
        _do(call, result, ["mount", "-o", f"remount,{call['opts']}", path])


def _do(call: Call, result: dict[str, Any], command: list[str]) -> None:
    result["changed"] = True
    if not call.check:
        fstab = ["-T", call["fstab"]] if command[0] == "mount" and call["fstab"] != "/etc/fstab" else []
        call.checked([command[0], *fstab, *command[1:]])


def _lines(call: Call) -> list[str]:
    return _files.read(call["fstab"]).decode("utf-8", "surrogateescape").splitlines()


def _is(line: str, path: str) -> bool:
    words = line.split()
    if len(words) < 3 or words[0].startswith("#"):
        return False
    return words[1].replace("\\040", " ").rstrip("/") == path.rstrip("/")


def _set(call: Call, path: str, result: dict[str, Any]) -> bool:
    options = call["opts"]
    if not call["boot"]:
        options = ",".join([*options.split(","), "noauto"])
    fields = [call["src"], path, call["fstype"], options, call["dump"], call["passno"]]
    wanted = " ".join(field.replace(" ", "\\040") for field in fields)
    kept: list[str] = []
    found = False
    for line in _lines(call):
        if not _is(line, path):
            kept.append(line)
        elif not found:
            kept.append(line if line.split() == wanted.split() else wanted)
            found = True
    return _write(call, kept if found else [*kept, wanted], result)


def _write(call: Call, lines: list[str], result: dict[str, Any]) -> bool:
    if lines == _lines(call):
        return False
    if not call.check:
        if call["backup"]:
            result["backup_file"] = _files.backup(call["fstab"])
        _files.write(call, call["fstab"], ("\n".join(lines) + "\n").encode("utf-8", "surrogateescape"))
    return True
