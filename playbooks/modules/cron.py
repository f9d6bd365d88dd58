"""Entries of a user's crontab, or of a file in /etc/cron.d."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from typing import Any

from playbooks.engine.helper.call import Call, Failure
from playbooks.engine.helper.options import Option
from playbooks.modules import _files

OPTIONS = {
    "name": Option(required=True),
    "job": Option(aliases=("value",)),
    "state": Option(default="present", choices=("absent", "present")),
    "user": Option(),
    "cron_file": Option("path"),
    "backup": Option("bool", default=False),
    "minute": Option(default="*"),
    "hour": Option(default="*"),
    "day": Option(default="*", aliases=("dom",)),
    "month": Option(default="*"),
    "weekday": Option(default="*", aliases=("dow",)),
    "special_time": Option(choices=("annually", "daily", "hourly", "monthly", "reboot", "weekly", "yearly")),
    "disabled": Option("bool", default=False),
    "env": Option("bool", default=False),
    "insertafter": Option(),
    "insertbefore": Option(),
}
_TIMES = ("minute", "hour", "day", "month", "weekday")
_FURTHER = "/sbin:/usr/sbin:/usr/local/sbin"
_MARK = "#Ansible: "


def run(call: Call) -> dict[str, Any]:
    """Ansible's result of `cron`."""
    if call["state"] == "present" and call["job"] is None:
        raise Failure("You must specify 'job' to install a new cron job or variable")
    if call["cron_file"] and call["user"] is None and not call["env"] and call["state"] == "present":
        raise Failure("To use cron_file=... parameter you must specify user=... as well")
    if call["special_time"] and any(call[name] != "*" for name in _TIMES):
        raise Failure("You must specify time and date fields or special time.")
    if (call["insertafter"] or call["insertbefore"]) and not call["env"]:
        raise Failure("Insertafter and insertbefore parameters are valid only with env=yes")
    # A table of its own in a file, too, is nothing without cron: so says Ansible.
    if not shutil.which("crontab", path=f"{call.environment.get('PATH', os.environ.get('PATH', ''))}:{_FURTHER}"):
        raise Failure("the program crontab is not on this host; install cron")
    before = _read(call)
    after = _edited_variable(call, before) if call["env"] else _edited_job(call, before)
    changed = after != before
    result: dict[str, Any] = {"changed": changed, "jobs": [], "envs": [], "warnings": []}
    if call["cron_file"]:
        result["cron_file"] = call["cron_file"]
    if changed and not call.check:
        if call["backup"]:
            result["backup_file"] = _backup(before)
        _write(call, after)
    result["jobs"] = [line[len(_MARK) :] for line in after if line.startswith(_MARK)]
    result["envs"] = [line.split("=")[0] for line in after if re.match(r"^\w+=", line)]
    if call.diff and changed:
        old, new = ("\n".join(lines).encode() for lines in (before, after))
        result["diff"] = _files.text_diff("crontab", old, new)
    return result


def _path(call: Call) -> str:
    name: str = call["cron_file"]
    return name if os.path.isabs(name) else os.path.join("/etc/cron.d", name)


def _read(call: Call) -> list[str]:
    if call["cron_file"]:
        return _files.read(_path(call)).decode("utf-8", "surrogateescape").splitlines()
    user = ["-u", call["user"]] if call["user"] else []
    done = call.run(["crontab", *user, "-l"], environment={"LC_ALL": "C"})
    if done.status not in (0, 1):
        raise Failure(f"Unable to read crontab: {done.err.strip()}")
    return done.out.splitlines() if done.status == 0 else []


def _backup(lines: list[str]) -> str:
    """A file with the table as it was; beside the table itself cron would read it."""
    handle, path = tempfile.mkstemp(prefix="crontab")
    with os.fdopen(handle, "w", errors="surrogateescape") as stream:
        stream.writelines(f"{line}\n" for line in lines)
    return path


def _write(call: Call, lines: list[str]) -> None:
    text = "\n".join(lines) + "\n" if lines else ""
    if call["cron_file"]:
        if not lines:
            os.unlink(_path(call))
        else:
            _files.write(call, _path(call), text.encode("utf-8", "surrogateescape"))
        return
    user = ["-u", call["user"]] if call["user"] else []
    call.checked(["crontab", *user, "-"], input=text.encode("utf-8", "surrogateescape"))


def _edited_job(call: Call, lines: list[str]) -> list[str]:
    mark = _MARK + call["name"]
    wanted = [mark, _entry(call)] if call["state"] == "present" else []
    if mark not in lines:
        return [*lines, *wanted]
    index = lines.index(mark)
    return [*lines[:index], *wanted, *lines[index + 2 :]]


def _entry(call: Call) -> str:
    job = call["job"].strip("\r\n")
    user = f"{call['user']} " if call["cron_file"] else ""
    off = "#" if call["disabled"] else ""
    if call["special_time"]:
        return f"{off}@{call['special_time']} {user}{job}"
    times = " ".join(str(call[name]) for name in _TIMES)
    return f"{off}{times} {user}{job}"


def _edited_variable(call: Call, lines: list[str]) -> list[str]:
    name = call["name"]
    kept = [line for line in lines if not line.startswith(f"{name}=")]
    if call["state"] == "absent":
        return kept
    job = call["job"]
    wanted = f'{name}="{job}"'
    if wanted in lines:
        return lines
    for option, step in (("insertafter", 1), ("insertbefore", 0)):
        if call[option]:
            places = [index for index, line in enumerate(kept) if line.startswith(f"{call[option]}=")]
            if not places:
                raise Failure(f"Variable named '{call[option]}' not found.")
            kept.insert(places[0] + step, wanted)
            return kept
    old = next((index for index, line in enumerate(lines) if line.startswith(f"{name}=")), 0)
    kept.insert(old, wanted)
    return kept
