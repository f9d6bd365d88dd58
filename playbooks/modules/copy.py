"""The far half of `copy`: compares hashes, takes the bytes if they differ, sets owner, group and mode."""

from __future__ import annotations

import os
import shutil
from typing import Any

from playbooks.engine.helper.call import Call, Failure
from playbooks.engine.helper.options import FILE_OPTIONS, Option
from playbooks.modules import _files

OPTIONS = {
    "src": Option(),
    "content": Option("raw"),
    "dest": Option(required=True),
    "backup": Option("bool", default=False),
    "force": Option("bool", default=True),
    "remote_src": Option("bool", default=False),
    "follow": Option("bool", default=False),
    "local_follow": Option("bool", default=True),
    "directory_mode": Option("raw"),
    "validate": Option(),
    "checksum": Option(),
    "decrypt": Option("bool", default=True),
    **FILE_OPTIONS,
}


def run(call: Call) -> dict[str, Any]:
    """Ansible's result of `copy`."""
    dest = _destination(call)
    if call["remote_src"] and call["src"]:
        return _here(call, dest)
    result: dict[str, Any] = {"dest": dest, "checksum": call["checksum"], "src": call["src"]}
    return _place(call, dest, result)


def _destination(call: Call) -> str:
    dest: str = os.path.expanduser(call["dest"])
    name = call.parameters.get("original_basename") or (os.path.basename(call["src"]) if call["src"] else "")
    if name and (dest.endswith("/") or os.path.isdir(dest)):
        if dest.endswith("/") and not os.path.isdir(dest) and not call.check:
            os.makedirs(dest)
        dest = os.path.join(dest, name)
    parent = os.path.dirname(dest) or "."
    if not os.path.isdir(parent) and not call.check:
        raise Failure(f"Destination directory {parent} does not exist", dest=dest)
    if os.path.isdir(dest):
        raise Failure(f"{dest} is a directory, and there is no file name to put into it", dest=dest)
    if call["follow"] and os.path.islink(dest):
        dest = os.path.realpath(dest)
    return dest


def _place(call: Call, dest: str, result: dict[str, Any]) -> dict[str, Any]:
    there = os.path.lexists(dest)
    same = _files.digest(dest) == call["checksum"] and not (os.path.islink(dest) and not call["follow"])
    changed = False
    difference: dict[str, Any] = {}
    if there and not same and not call["force"]:
        return {**{key: value for key, value in result.items() if key != "checksum"}, "changed": False}
    if not same:
        changed = True
        if call.diff:
            result["diff"] = [_difference(call, dest)]
        if not call.check:
            if there and call["backup"]:
                result["backup_file"] = _files.backup(dest)
            _receive(call, dest)
    changed = _files.apply_attributes(call, dest, difference=difference) or changed
    if call.diff and difference:
        result.setdefault("diff", []).append({**difference, "before_header": dest, "after_header": dest})
    return {**result, **_files.describe(dest), "changed": changed}


def _difference(call: Call, dest: str) -> dict[str, Any]:
    inline = call.parameters.get("inline")
    if inline is None:
        return {"prepared": f"{dest}: content of {call.parameters.get('size')} bytes differs"}
    return _files.text_diff(dest, _files.read(dest) if os.path.isfile(dest) else b"", inline.encode("latin-1"))


def _receive(call: Call, dest: str) -> None:
    """Take the bytes into a file beside the destination, check them, and move it there."""
    if os.path.islink(dest):
        os.unlink(dest)
    descriptor, name = _files.temporary(dest)
    try:
        with os.fdopen(descriptor, "wb") as sink:
            inline = call.parameters.get("inline")
            if inline is None:
                call.receive(sink)
            else:
                sink.write(inline.encode("latin-1"))
        if _files.digest(name) != call["checksum"]:
            raise Failure("the file arrived damaged", dest=dest, checksum=_files.digest(name))
        _files.check_with(call, call["validate"], name)
        _files.replace(name, dest)
    finally:
        if os.path.exists(name):
            os.unlink(name)


def _here(call: Call, dest: str) -> dict[str, Any]:
    """`remote_src`: from one place of the host to another."""
    source = os.path.expanduser(call["src"])
    if not os.path.exists(source):
        raise Failure(f"Source {source} not found", src=source)
    if os.path.isdir(source):
        return _tree(call, source)
    call.parameters["checksum"] = _files.digest(source)
    result: dict[str, Any] = {"dest": dest, "src": source, "checksum": call["checksum"]}
    if call["mode"] == "preserve":
        call.parameters["mode"] = oct(os.stat(source).st_mode & 0o7777)[2:]
    if _files.digest(dest) != call["checksum"]:
        call.parameters["size"] = os.path.getsize(source)
        call.receive = lambda sink: _pour(source, sink)  # type: ignore[method-assign]
    return _place(call, dest, result)


def _pour(source: str, sink: Any) -> None:
    with open(source, "rb") as stream:
        shutil.copyfileobj(stream, sink)


def _tree(call: Call, source: str) -> dict[str, Any]:
    dest = os.path.expanduser(call["dest"])
    base = source.rstrip("/") if source.endswith("/") else os.path.dirname(source.rstrip("/"))
    changed = False
    for folder, _, names in os.walk(source.rstrip("/")):
        target = os.path.join(dest, os.path.relpath(folder, base))
        if not os.path.isdir(target):
            changed = True
            if not call.check:
                os.makedirs(target, exist_ok=True)
        for name in names:
            old, new = os.path.join(folder, name), os.path.join(target, name)
            if _files.digest(old) != _files.digest(new):
                changed = True
                if not call.check:
                    shutil.copy2(old, new)
            changed = _files.apply_attributes(call, new) or changed
    return {"changed": changed, "dest": dest, "src": source}
