"""Mounts, now and after a restart."""

from __future__ import annotations

import os
import re
from typing import Any

from playbooks.engine.helper.call import Call, Failure
from playbooks.engine.helper.options import Option
from playbooks.modules import _files, _fstab

OPTIONS = {
    "path": Option("path", required=True, aliases=("name",)),
    "src": Option("path"),
    "fstype": Option(),
    "opts": Option(secret_if="opts_no_log"),
    "opts_no_log": Option("bool", default=False),
    "dump": Option(default="0"),
    "passno": Option(default="0"),
    "state": Option(
        required=True,
        choices=("absent", "absent_from_fstab", "ephemeral", "mounted", "present", "remounted", "unmounted"),
    ),
    "fstab": Option(),
    "boot": Option("bool", default=True),
    "backup": Option("bool", default=False),
}
_TABLE = "/etc/fstab"
_MADE_ACTIVE = ("present", "mounted", "ephemeral")
_OTHER_SOURCE = (
    "Something else than {} is mounted on {}. Unmount it first with state: unmounted, or choose another path."
)
_NOT_WITH_OPTIONS = (
    "Options were given, and the remount failed: {}. To mount anew with all the options wanted, "
    "use state: unmounted and then state: mounted."
)


def run(call: Call) -> dict[str, Any]:
    """Ansible's result of `mount`."""
    path, state = call["path"].rstrip("/") or "/", call["state"]
    missing = [name for name in ("src", "fstype") if not call[name]]
    if state in _MADE_ACTIVE and missing:
        raise Failure(f"state is {state} but all of the following are missing: {', '.join(missing)}")
    result = _told(call, path)
    if state == "present":
        result["changed"] = _write(call, _with(call, result), result)
    elif state == "mounted":
        _mount(call, path, result)
    elif state == "ephemeral":
        _mount_now(call, path, result)
    elif state == "remounted":
        result["changed"] = True
        if not call.check:
            _remount(call, path, result["opts"], f"Error remounting {path}")
    elif state == "unmounted":
        result["changed"] = _is_mounted(path)
        if result["changed"] and not call.check:
            _do(call, ["umount", path], f"Error unmounting {path}")
    else:
        _take_away(call, path, result)
    return result


def _told(call: Call, path: str) -> dict[str, Any]:
    """What each result says."""
    options = (call["opts"] or "defaults").split(",")
    result: dict[str, Any] = {
        "name": path,
        "boot": "yes" if call["boot"] else "no",
        "backup_file": "",
        "changed": False,
    }
    if call["boot"] and "noauto" in options:
        result["warnings"] = ["Ignore the 'boot' due to 'opts' contains 'noauto'."]
    elif not call["boot"]:
        options.append("noauto")
    result["opts"] = ",".join(options)
    result.update({name: call[name] for name in ("src", "fstype") if call[name] is not None})
    return {**result, "dump": call["dump"], "passno": call["passno"], "fstab": call["fstab"] or _TABLE}


def _with(call: Call, result: dict[str, Any]) -> str:
    """The table as the task wants it."""
    fields = [result["src"], result["name"], result["fstype"], result["opts"], result["dump"], result["passno"]]
    return _fstab.with_entry(_table(call), _fstab.Entry(*fields))


def _table(call: Call) -> str:
    return _files.read(call["fstab"] or _TABLE).decode("utf-8", "surrogateescape")


def _write(call: Call, text: str, result: dict[str, Any]) -> bool:
    """Make the table have this text; whether it had another."""
    if text == _table(call):
        return False
    if not call.check:
        path = call["fstab"] or _TABLE
        os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
        if call["backup"] and os.path.exists(path):
            result["backup_file"] = _files.backup(path)
        _files.write(call, path, text.encode("utf-8", "surrogateescape"))
    return True


def _take_away(call: Call, path: str, result: dict[str, Any]) -> None:
    """Out of the table, and with it from the host; a mount that is not in the table stays."""
    result["changed"] = _write(call, _fstab.without_entry(_table(call), path, call["src"]), result)
    if call["state"] == "absent_from_fstab" or not result["changed"] or call.check:
        return
    if _is_mounted(path):
        _do(call, ["umount", path], f"Error unmounting {path}")
    if os.path.exists(path):
        try:
            os.rmdir(path)
        except OSError as error:
            raise Failure(f"Error rmdir {path}: {error.strerror}") from error


def _mount(call: Call, path: str, result: dict[str, Any]) -> None:
    """In the table and mounted. What fails leaves the table and directories as they were."""
    before = _table(call)
    made = [] if call.check else _directories(path)
    result["changed"] = edited = _write(call, _with(call, result), result)
    mounted = os.path.ismount(path) or _is_from(path, call["src"])
    result["changed"] |= not mounted
    if call.check or (mounted and not edited):
        return
    try:
        if mounted:
            _remount(call, path, result["opts"], f"Error mounting {path}")
        else:
            _do(call, ["mount", *_other_table(call), path], f"Error mounting {path}")
    except Failure:
        if edited:
            _files.write(call, call["fstab"] or _TABLE, before.encode("utf-8", "surrogateescape"))
        _remove(made)
        raise


def _mount_now(call: Call, path: str, result: dict[str, Any]) -> None:
    """Mounted, whatever the table says."""
    mounted = _is_mounted(path)
    if mounted and not _is_from(path, call["src"]):
        raise Failure(_OTHER_SOURCE.format(call["src"], path))
    result["changed"] = True
    if call.check:
        return
    made = _directories(path)
    try:
        if mounted:
            _remount(call, path, result["opts"], f"Error mounting {path}")
        else:
            _do(call, ["mount", *_by_words(call, result["opts"]), path], f"Error mounting {path}")
    except Failure:
        _remove(made)
        raise


def _remount(call: Call, path: str, options: str, what: str) -> None:
    """With the options given or those of the table; what cannot be remounted is mounted anew."""
    explicit = call["state"] == "remounted" and options != "defaults"
    once = call["state"] == "ephemeral"
    words = ["-o", f"remount,{options}" if explicit else "remount"]
    further = _by_words(call, options) if once else _other_table(call)
    done = call.run(["mount", *words, *further, path], environment={"LC_ALL": "C"})
    if done.status == 0:
        return
    if explicit:
        raise Failure(_NOT_WITH_OPTIONS.format((done.out + done.err).strip().rstrip(".")))
    _do(call, ["umount", path], what)
    _do(call, ["mount", *further, path], what)


def _by_words(call: Call, options: str) -> list[str]:
    return ["-t", call["fstype"], *(["-o", options] if options != "defaults" else []), call["src"]]


def _other_table(call: Call) -> list[str]:
    return [] if call["fstab"] in (None, _TABLE) else ["-T", call["fstab"]]


def _do(call: Call, command: list[str], what: str) -> None:
    done = call.run(command, environment={"LC_ALL": "C"})
    if done.status != 0:
        raise Failure(f"{what}: {(done.out + done.err).strip()}")


def _directories(path: str) -> list[str]:
    """Make what is missing of a path; what was made, innermost first."""
    missing, here = [], path
    while here and not os.path.exists(here):
        missing.append(here)
        here = os.path.dirname(here)
    os.makedirs(path, exist_ok=True) if missing else None
    return missing


def _remove(directories: list[str]) -> None:
    for directory in directories:
        try:
            os.rmdir(directory)
        except OSError:
            return


def _is_mounted(path: str) -> bool:
    return os.path.ismount(path) or path in _sources()


def _is_from(path: str, source: str) -> bool:
    """Whether that is mounted there: the device by its name, or the same directory or file once more."""
    known = _sources().get(path)
    if known is None:
        return False
    return known == source or (os.path.exists(source) and os.path.samefile(source, path))


def _sources() -> dict[str, str]:
    """What the kernel says is mounted, by path; the last one there is what is seen."""
    found = {}
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as stream:
        for line in stream:
            mount, _, system = line.partition(" - ")
            found[_plain(mount.split()[4])] = _plain(system.split()[1])
    return found


def _plain(field: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal.group(1), 8)), field)
