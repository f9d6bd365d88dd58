"""Makes files, directories and links, or removes them; sets owner, group and mode."""

from __future__ import annotations

import os
import shutil
import time
from typing import Any, Callable

from playbooks.engine.helper.call import Call, Failure
from playbooks.engine.helper.options import FILE_OPTIONS, Option
from playbooks.modules import _attributes, _files

OPTIONS = {
    "path": Option("path", required=True, aliases=("dest", "name")),
    "state": Option(choices=("absent", "directory", "file", "hard", "link", "touch")),
    "src": Option("path"),
    "recurse": Option("bool", default=False),
    "force": Option("bool", default=False),
    "follow": Option("bool", default=True),
    "access_time": Option(),
    "modification_time": Option(),
    "access_time_format": Option(default="%Y%m%d%H%M.%S"),
    "modification_time_format": Option(default="%Y%m%d%H%M.%S"),
    **FILE_OPTIONS,
}
_NOW = -1.0


def run(call: Call) -> dict[str, Any]:
    """Ansible's result of `file`."""
    path = _path(call)
    if not path:
        raise Failure("the path of the file is empty", path=path)
    before = _files.state_of(path)
    state = call["state"] or (before if before != "absent" else "directory" if call["recurse"] else "file")
    if call["recurse"] and state != "directory":
        raise Failure("recurse option requires state to be 'directory'", path=path)
    if call["src"] and state not in ("link", "hard"):
        raise Failure("src option requires state to be 'link' or 'hard'", path=path)
    result = _STATES[state](call, path, before)
    return result if call.diff else {key: value for key, value in result.items() if key != "diff"}


def _path(call: Call) -> str:
    """The path that is meant: in a directory, if what is to be there has a name."""
    path: str = call["path"]
    name = call.parameters.get("original_basename") or (os.path.basename(call["src"]) if call["src"] else "")
    if call["state"] not in ("link", "absent") and name and os.path.isdir(path):
        return os.path.join(path, name)
    return path


def _difference(path: str, state: str, before: str) -> dict[str, Any]:
    difference: dict[str, Any] = {"before": {"path": path}, "after": {"path": path}}
    if before != state:
        _attributes.note(difference, "state", before, state)
        if state == "absent" and before == "directory":
            found: dict[str, list[str]] = {"directories": [], "files": []}
            for folder, folders, names in os.walk(path):
                found["directories"] += [os.path.join(folder, name) for name in folders]
                found["files"] += [os.path.join(folder, name) for name in names]
            difference["before"]["path_content"] = found
    return difference


def _attributed(call: Call, path: str, difference: dict[str, Any] | None, touched: str = "") -> bool:
    """Owner, group, mode and times of a path, or of `touched` for the times; whether that changes anything."""
    changed = _attributes.apply(call, path, difference)
    return _time(call, touched or path, difference) or changed


def _target(call: Call, path: str) -> str:
    return os.path.realpath(path) if call["follow"] and os.path.islink(path) else path


def _absent(call: Call, path: str, before: str) -> dict[str, Any]:
    if before == "absent":
        return {"path": path, "changed": False, "state": "absent"}
    difference = _difference(path, "absent", before)
    if not call.check:
        if before == "directory":
            try:
                shutil.rmtree(path)
            except OSError as error:
                raise Failure(f"rmtree failed: {error}") from error
        else:
            try:
                os.unlink(path)
            except OSError as error:
                raise Failure("Unlinking failed.", path=path) from error
    return {"path": path, "changed": True, "diff": difference, "state": "absent"}


def _directory(call: Call, path: str, before: str) -> dict[str, Any]:
    _times(call)
    if call["follow"] and before == "link":
        path = os.path.realpath(path)
        before = _files.state_of(path)
    difference = _difference(path, "directory", before)
    if before == "absent":
        if not call.check:
            _make_directories(call, path, difference)
        return {"path": path, "changed": True, "diff": difference}
    if before != "directory":
        raise Failure(f"{path} already exists as a {before}", path=path)
    changed = _attributed(call, path, difference)
    if call["recurse"]:
        changed = _below(call, path) or changed
    return {"path": path, "changed": changed, "diff": difference}


def missing(path: str) -> list[str]:
    """The directories to make so that a path is one, outermost first."""
    found: list[str] = []
    current = path.rstrip("/") or "/"
    while current and not os.path.exists(current):
        found.append(current)
        current = os.path.dirname(current)
    return found[::-1]


def _make_directories(call: Call, path: str, difference: dict[str, Any]) -> None:
    for part in missing(path):
        try:
            os.mkdir(part)
        except OSError as error:
            raise Failure(f"There was an issue creating {part} as requested: {error}", path=path) from error
        _attributes.apply(call, part, difference)
    _time(call, path, difference)


def _below(call: Call, path: str) -> bool:
    """What is in a directory, and with `follow` what links in it name."""
    changed = False
    for folder, folders, names in os.walk(path):
        for name in folders + names:
            entry = os.path.join(folder, name)
            changed = _attributed(call, entry, None) or changed
            if os.path.islink(entry) and call["follow"]:
                target = os.path.join(folder, os.readlink(entry))
                if os.path.isdir(target):
                    changed = _below(call, target) or changed
                if os.path.exists(target):
                    changed = _attributed(call, target, None) or changed
    return changed


def _file(call: Call, path: str, before: str) -> dict[str, Any]:
    _times(call)
    if before == "link" and call["follow"]:
        path = os.path.realpath(path)
        before = _files.state_of(path)
    if before not in ("file", "hard"):
        raise Failure(f"file ({path}) is {before}, cannot continue", path=path, state=before)
    difference = _difference(path, "file", before)
    return {"path": path, "changed": _attributed(call, path, difference), "diff": difference}


def _touch(call: Call, path: str, before: str) -> dict[str, Any]:
    _times(call)
    if before == "absent":
        if call.check:
            return {"dest": path, "changed": True}
        try:
            with open(path, "ab"):
                pass
        except OSError as error:
            raise Failure("Error, could not touch target.", path=path) from error
    difference = _difference(path, "touch", before)
    try:
        changed = _attributed(call, _target(call, path), difference)
    except Failure:
        if before == "absent":
            os.unlink(path)
        raise
    return {"dest": path, "changed": changed or before == "absent", "diff": difference}


def _times(call: Call) -> list[float | None]:
    """Access and modification time to set; None for one that stays, _NOW for now. Raises Failure."""
    found: list[float | None] = []
    for name in ("access_time", "modification_time"):
        wanted = call[name] or ("now" if call["state"] == "touch" else "preserve")
        if wanted in ("now", "preserve"):
            found.append(_NOW if wanted == "now" else None)
            continue
        try:
            found.append(time.mktime(time.strptime(wanted, call[f"{name}_format"])))
        except (ValueError, OverflowError) as error:
            pattern = call[f"{name}_format"]
            message = f"Error while obtaining timestamp for time {wanted} using format {pattern}: {error}"
            raise Failure(message) from error
    return found


def _time(call: Call, path: str, difference: dict[str, Any] | None) -> bool:
    wanted = _times(call)
    if wanted == [None, None]:
        return False
    now = time.time()
    try:
        status = os.stat(path)
        current = [status.st_atime, status.st_mtime]
        times = [was if value is None else now if value == _NOW else value for was, value in zip(current, wanted)]
        if times == current:
            return False
        if not call.check:
            os.utime(path, None if wanted == [_NOW, _NOW] else (times[0], times[1]))
    except OSError as error:
        raise Failure(f"Error while updating modification or access time: {error}", path=path) from error
    for name, was, is_now in zip(("atime", "mtime"), current, times):
        if was != is_now:
            _attributes.note(difference, name, was, is_now)
    return True


def _link(call: Call, path: str, before: str) -> dict[str, Any]:
    source = call["src"]
    if source is None and call["follow"] and before == "link" and os.path.exists(path):
        source = os.readlink(path)
    base = path if before == "directory" else os.path.dirname(path)
    target = None if source is None else os.path.join(base, source)
    if target is not None and not call["force"] and not os.path.exists(target):
        message = f"src file does not exist, use 'force=yes' if you really want to create the link: {target}"
        raise Failure(message, path=path, src=source)
    if before in ("directory", "file", "hard") and not call["force"]:
        raise Failure(f"refusing to convert from {before} to symlink for {path}", path=path)
    if before == "directory" and os.listdir(path):
        raise Failure(f"the directory {path} is not empty, refusing to convert it", path=path)
    difference = _difference(path, "link", before)
    if before != "link" and source is None:
        raise Failure("src is required for creating new symlinks")
    changed = before != "link" or _another(path, source, difference)
    if changed and not call.check:
        _make(path, before, lambda name: os.symlink(source, name))
    return _linked(call, path, source, changed, difference)


def _another(path: str, source: str | None, difference: dict[str, Any]) -> bool:
    """Whether a link is to name something else."""
    named = os.readlink(path)
    if source is None or named == source:
        return False
    _attributes.note(difference, "src", named, source)
    return True


def _linked(call: Call, path: str, source: str | None, changed: bool, difference: dict[str, Any]) -> dict[str, Any]:
    target = _target(call, path)
    # A link that names nothing has no owner and mode to set but its own.
    if os.path.exists(target) or (os.path.islink(path) and not call["follow"] and not call.check):
        changed = _attributed(call, target, difference) or changed
    return {"dest": path, "src": source, "changed": changed, "diff": difference}


def _hard(call: Call, path: str, before: str) -> dict[str, Any]:
    source = call["src"]
    if source is None and before != "hard":
        raise Failure("src is required for creating new hardlinks")
    if source is not None and not os.path.exists(source):
        raise Failure("src does not exist", dest=path, src=source)
    difference = _difference(path, "hard", before)
    if before == "link":
        changed = _another(path, source, difference)
    elif before == "hard":
        changed = source is not None and not os.path.samefile(path, source)
        if changed and not call["force"]:
            raise Failure("Cannot link, different hard link exists at destination", dest=path, src=source)
    else:
        changed = True
        if before == "file" and not call["force"]:
            raise Failure(f"Cannot link, {before} exists at destination", dest=path, src=source)
    if changed and not call.check:
        _make(path, before, lambda name: os.link(os.path.realpath(source) if call["follow"] else source, name))
    return _linked(call, path, source, changed, difference)


def _make(path: str, before: str, make: Callable[[str], None]) -> None:
    """Put something new in the place of what is there. Raises Failure."""
    name = path if before == "absent" else os.path.join(os.path.dirname(path), f".{os.getpid()}.{time.time()}.tmp")
    try:
        if before == "directory":
            os.rmdir(path)
        make(name)
        if name != path:
            os.rename(name, path)
    except OSError as error:
        if name != path and os.path.lexists(name):
            os.unlink(name)
        raise Failure(f"Error while {'linking' if name == path else 'replacing'}: {error}", path=path) from error


_STATES = {
    "absent": _absent,
    "directory": _directory,
    "file": _file,
    "touch": _touch,
    "link": _link,
    "hard": _hard,
}
