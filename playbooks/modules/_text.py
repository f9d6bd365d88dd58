"""What the modules that edit text files share: read, change, write once, report.

Invariant: files are bytes; a file in any encoding keeps every byte that an edit does not name.
"""

from __future__ import annotations

import os
from typing import Any, NamedTuple

from playbooks.engine.helper.call import Call, Failure
from playbooks.engine.helper.options import FILE_OPTIONS, Option
from playbooks.modules import _attributes, _files

EDIT_OPTIONS = {
    "path": Option("path", required=True, aliases=("dest", "destfile", "name")),
    "backup": Option("bool", default=False),
    "create": Option("bool", default=False),
    "validate": Option(),
    **FILE_OPTIONS,
}


class Edit(NamedTuple):
    """What came of a file's content: whether it differs, the words for it, the copy kept of what was there."""

    changed: bool
    message: str
    backup: str


def load(call: Call, word: str = "Path") -> bytes | None:
    """The file's content; None if there is none and it may be made. Raises Failure."""
    path = call["path"]
    if os.path.isdir(path):
        raise Failure(f"Path {path} is a directory !", rc=256)
    if os.path.exists(path):
        return _files.read(path)
    if not call.parameters.get("create"):
        raise Failure(f"{word} {path} does not exist !", rc=257)
    parent = os.path.dirname(path)
    if parent and not os.path.exists(parent) and not call.check:
        try:
            os.makedirs(parent)
        except OSError as error:
            raise Failure(f"Error creating {parent} ({error.strerror})") from error
    return None


def store(call: Call, before: bytes | None, after: bytes, message: str) -> Edit:
    """Write the new content if there is something to say of it, a message."""
    if not message or call.check:
        return Edit(bool(message), message, "")
    backup = _files.backup(call["path"]) if call["backup"] and before is not None else ""
    _write(call, os.path.realpath(call["path"]), after)
    return Edit(True, message, backup)


def _write(call: Call, path: str, data: bytes) -> None:
    try:
        _files.write(call, path, data, call["validate"])
    except Failure as error:
        if "exit_status" not in error.result:
            raise
        reason = f"rc:{error.result['exit_status']} error:{error.result['stderr']}"
        raise Failure(f"{error}: {reason}") from error


def attributed(call: Call, edit: Edit, difference: dict[str, Any] | None = None) -> dict[str, Any]:
    """`changed` and `msg` once owner, group and mode are as they are to be, too."""
    if not _attributes.apply(call, call["path"], difference):
        return {"changed": edit.changed, "msg": edit.message}
    between = " and " if edit.changed else ""
    return {"changed": True, "msg": f"{edit.message}{between}ownership, perms or SE linux context changed"}


def reported(call: Call, edit: Edit, before: bytes | None, after: bytes) -> dict[str, Any]:
    """`changed`, `msg` and `diff`, of content and attributes, which Ansible tells unasked."""
    path = call["path"]
    content = {"before": "", "after": "", **_headers(path, "content")}
    if call.diff:
        content.update(before=(before or b"").decode("utf-8", "replace"), after=after.decode("utf-8", "replace"))
    if call.check and not os.path.exists(path):
        return {"changed": edit.changed, "msg": edit.message, "diff": content}
    attributes: dict[str, Any] = {}
    result = attributed(call, edit, attributes)
    return {**result, "diff": [content, {**attributes, **_headers(path, "file attributes")}]}


def _headers(path: str, what: str) -> dict[str, str]:
    return {"before_header": f"{path} ({what})", "after_header": f"{path} ({what})"}
