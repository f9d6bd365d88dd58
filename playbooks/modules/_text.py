"""What the modules that edit text files share: read, change, write once, report."""

from __future__ import annotations

import os
from typing import Any

from playbooks.engine.helper.call import Call, Failure
from playbooks.engine.helper.options import FILE_OPTIONS, Option
from playbooks.modules import _files

EDIT_OPTIONS = {
    "path": Option(required=True, aliases=("dest", "destfile", "name")),
    "backup": Option("bool", default=False),
    "create": Option("bool", default=False),
    "validate": Option(),
    "encoding": Option(default="utf-8"),
    **FILE_OPTIONS,
}


def load(call: Call) -> tuple[str, str]:
    """The file's path and its text; a missing file is empty if `create`. Raises Failure."""
    path = os.path.realpath(os.path.expanduser(call["path"]))
    if os.path.isdir(path):
        raise Failure(f"Path {path} is a directory !", rc=256)
    if not os.path.exists(path):
        if not call.parameters.get("create"):
            raise Failure(f"Destination {path} does not exist !", rc=257)
        parent = os.path.dirname(path)
        if parent and not os.path.isdir(parent) and not call.check:
            os.makedirs(parent)
    return path, _files.read(path).decode(call.parameters.get("encoding") or "utf-8", "surrogateescape")


def store(call: Call, path: str, before: str, after: str, message: str) -> dict[str, Any]:
    """Write the new text if it differs, set the attributes, and give the result."""
    encoding = call.parameters.get("encoding") or "utf-8"
    result: dict[str, Any] = {"changed": False, "msg": "", "backup": ""}
    missing = not os.path.exists(path)
    if before != after or (missing and call.parameters.get("create")):
        result.update(changed=True, msg=message)
        if call.diff:
            old, new = (text.encode(encoding, "surrogateescape") for text in (before, after))
            result["diff"] = [_files.text_diff(path, old, new)]
        if not call.check:
            if call["backup"] and not missing:
                result["backup"] = result["backup_file"] = _files.backup(path)
            _files.write(call, path, after.encode(encoding, "surrogateescape"), call["validate"])
    if os.path.exists(path) and _files.apply_attributes(call, path):
        what = "ownership, perms or SE linux context changed"
        result.update(changed=True, msg=f"{result['msg']} and {what}" if result["msg"] else what)
    return result


def without_empty_backup(result: dict[str, Any]) -> dict[str, Any]:
    """The result as `replace` and `blockinfile` give it: a backup is named only if there is one, as `backup_file`."""
    backup = result.pop("backup", "")
    return {**result, "backup_file": backup} if backup else result
