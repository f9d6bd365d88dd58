"""Makes files, directories and links, or removes them; sets owner, group and mode."""

from __future__ import annotations

import os
import shutil
import time
from typing import Any

from playbooks.engine.helper.call import Call, Failure
from playbooks.engine.helper.options import FILE_OPTIONS, Option
from playbooks.modules import _files

OPTIONS = {
    "path": Option(required=True, aliases=("dest", "name")),
    "state": Option(choices=("absent", "directory", "file", "hard", "link", "touch")),
    "src": Option(),
    "recurse": Option("bool", default=False),
    "force": Option("bool", default=False),
    "follow": Option("bool", default=True),
    "access_time": Option(),
    "modification_time": Option(),
    "access_time_format": Option(default="%Y%m%d%H%M.%S"),
    "modification_time_format": Option(default="%Y%m%d%H%M.%S"),
    **FILE_OPTIONS,
}


def run(call: Call) -> dict[str, Any]:
    """Ansible's result of `file`."""
    path = os.path.expanduser(call["path"])
    if not path:
        raise Failure("the path of the file is empty", path=path)
    before = _files.state_of(path)
    state = call["state"] or ("directory" if call["recurse"] else "file" if before in ("absent", "hard") else before)
    if call["src"] and not call["state"]:
        state = "link"
    result = _STATES[state](call, path, before)
    if call.diff and result["changed"]:
        difference = result.setdefault("diff", {})
        difference.setdefault("before", {"path": path, "state": before})
        difference.setdefault("after", {"path": path, "state": state})
    if state == "absent":
        return {"path": path, "state": "absent", **result}
    name = "dest" if state in ("link", "hard", "touch") else "path"
    return {name: path, **_files.describe(path), **result}


def _absent(call: Call, path: str, before: str) -> dict[str, Any]:
    if before == "absent":
        return {"changed": False}
    if not call.check:
        if before == "directory":
            shutil.rmtree(path)
        else:
            os.unlink(path)
    return {"changed": True}


def _directory(call: Call, path: str, before: str) -> dict[str, Any]:
    if before == "link" and call["follow"] and os.path.isdir(path):
        before = "directory"
    if before not in ("absent", "directory"):
        raise Failure(f"{path} already exists as a {before}", path=path)
    changed = False
    if before == "absent":
        changed = True
        for part in _missing(path):
            if not call.check:
                os.mkdir(part)
                _files.apply_attributes(call, part)
    changed = _files.apply_attributes(call, path) or changed
    if call["recurse"] and os.path.isdir(path):
        for folder, folders, names in os.walk(path):
            for name in [*folders, *names]:
                changed = _files.apply_attributes(call, os.path.join(folder, name), follow=False) or changed
    return {"changed": changed}


def _missing(path: str) -> list[str]:
    """The directories to make, outermost first."""
    missing: list[str] = []
    current = path.rstrip("/") or "/"
    while current and not os.path.isdir(current):
        missing.append(current)
        current = os.path.dirname(current)
    return missing[::-1]


def _file(call: Call, path: str, before: str) -> dict[str, Any]:
    if before == "absent":
        raise Failure(f"file ({path}) is absent, cannot continue", path=path, state="absent")
    if before == "directory" and call["state"] == "file":
        raise Failure(f"file ({path}) is directory, cannot continue", path=path, state="directory")
    return {"changed": _files.apply_attributes(call, path, follow=call["follow"])}


def _touch(call: Call, path: str, before: str) -> dict[str, Any]:
    changed = before == "absent"
    if not call.check and before == "absent":
        with open(path, "ab"):
            pass
    times = _times(call, path)
    if before != "absent" and times is not None:
        changed = True
    if times is not None and not call.check:
        os.utime(path, times)
    return {"changed": _files.apply_attributes(call, path, follow=call["follow"]) or changed}


def _times(call: Call, path: str) -> tuple[float, float] | None:
    """Access and modification time to set; None if both are to stay."""
    now = time.time()
    status = os.stat(path) if os.path.exists(path) else None
    found = []
    kept = True
    for name, current in (
        ("access_time", status.st_atime if status else now),
        ("modification_time", status.st_mtime if status else now),
    ):
        wanted = call[name]
        if wanted == "preserve":
            found.append(current)
            continue
        kept = False
        if wanted in (None, "now"):
            found.append(now)
        else:
            found.append(time.mktime(time.strptime(wanted, call[f"{name}_format"])))
    return None if kept else (found[0], found[1])


def _link(call: Call, path: str, before: str) -> dict[str, Any]:
    source = call["src"]
    if source is None:
        if before != "link":
            raise Failure("src is required for creating new links", path=path)
        source = os.readlink(path)
    if before == "directory" and not call["force"]:
        path = os.path.join(path, os.path.basename(source))
        before = _files.state_of(path)
    target = source if os.path.isabs(source) else os.path.join(os.path.dirname(path), source)
    if not os.path.exists(target) and not call["force"]:
        raise Failure(
            f'src file does not exist, use "force=yes" if you really want to create the link: {target}',
            path=path,
            src=source,
        )
    if before == "link" and os.readlink(path) == source:
        return {"changed": _own_link(call, path), "src": source}
    if before not in ("absent", "link") and not call["force"]:
        raise Failure(f"refusing to convert from {before} to symlink for {path}", path=path, src=source)
    if not call.check:
        _make(path, before, lambda name: os.symlink(source, name))
        _own_link(call, path)
    return {"changed": True, "src": source}


def _own_link(call: Call, path: str) -> bool:
    if not call["follow"]:
        return _files.apply_attributes(call, path, follow=False)
    return _files.apply_attributes(call, path) if os.path.exists(path) else False


def _hard(call: Call, path: str, before: str) -> dict[str, Any]:
    source = call["src"]
    if not source or not os.path.exists(source):
        raise Failure(f"src file does not exist: {source}", path=path, src=source)
    if before != "absent" and os.path.samefile(path, source):
        return {"changed": _files.apply_attributes(call, path), "src": source}
    if before not in ("absent", "hard") and not call["force"]:
        raise Failure(f"Cannot link, {before} exists at destination", path=path, src=source)
    if not call.check:
        _make(path, before, lambda name: os.link(source, name))
        _files.apply_attributes(call, path)
    return {"changed": True, "src": source}


def _make(path: str, before: str, make: Any) -> None:
    """Put something new in the place of what is there."""
    if before == "directory":
        shutil.rmtree(path)
    name = f"{path}.wherry-{os.getpid()}"
    make(name)
    os.rename(name, path)


_STATES = {
    "absent": _absent,
    "directory": _directory,
    "file": _file,
    "touch": _touch,
    "link": _link,
    "hard": _hard,
}
