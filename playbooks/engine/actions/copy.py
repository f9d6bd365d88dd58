"""The near half of `copy`: finds the file or directory here; its bytes travel only if the host lacks them."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

from playbooks.engine.actions.context import ActionCall, Result
from playbooks.errors import PlaybookError, TaskError

# Below this a file travels with the request; asking for it would cost more.
_INLINE = 48 * 1024
_VAULT = b"$ANSIBLE_VAULT"


def run(call: ActionCall) -> Result:
    """Ansible's result of `copy`."""
    if call["content"] is not None and call["src"] is not None:
        raise TaskError("src and content are mutually exclusive")
    if call["content"] is not None:
        content = call["content"]
        text = json.dumps(content) if isinstance(content, dict | list) else str(content)
        return send(call, text.encode("utf-8", "surrogateescape"), call.parameters)
    if call["src"] is None:
        raise TaskError("src (or content) is required")
    if call["remote_src"]:
        return call.remote("copy", call.parameters)
    try:
        path = call.find("files", call["src"])
    except PlaybookError as error:
        raise TaskError(str(error)) from error
    if path.is_dir():
        return _directory(call, path)
    return send_file(call, path, {**call.parameters, "original_basename": path.name})


def send(call: ActionCall, data: bytes, parameters: Mapping[str, Any]) -> Result:
    """Make a file on the host have these bytes."""
    return _send(call, io.BytesIO(data), len(data), hashlib.sha1(data).hexdigest(), parameters)


def send_file(call: ActionCall, path: Path, parameters: Mapping[str, Any]) -> Result:
    """Make a file on the host have the bytes of one here, those inside if it is a vault."""
    with path.open("rb") as stream:
        if parameters.get("decrypt", True) and stream.read(len(_VAULT)) == _VAULT:
            return send(call, call.scope.services.read(path).encode(), parameters)
        stream.seek(0)
        checksum = hashlib.file_digest(stream, "sha1").hexdigest()
        stream.seek(0)
        merged = dict(parameters)
        if merged.get("mode") == "preserve":
            merged["mode"] = oct(path.stat().st_mode & 0o7777)
        return _send(call, stream, path.stat().st_size, checksum, merged)


def _send(call: ActionCall, stream: BinaryIO, size: int, checksum: str, parameters: Mapping[str, Any]) -> Result:
    if parameters.get("checksum") and parameters["checksum"] != checksum:
        raise TaskError("the checksum of src is not the one given", checksum=checksum)
    message = {**parameters, "content": None, "checksum": checksum, "size": size}
    if size <= _INLINE:
        message["inline"] = stream.read().decode("latin-1")
        return call.remote("copy", message)
    return call.remote("copy", message, source=stream)


def _directory(call: ActionCall, path: Path) -> Result:
    """Copy a tree, file by file; with a trailing slash what is in it, else the directory itself."""
    base = path if str(call["src"]).endswith("/") else path.parent
    changed, diffs = False, []
    mode = call["directory_mode"]
    for entry in [path, *sorted(path.rglob("*"))]:
        relative = entry.relative_to(base)
        target = str(Path(call["dest"]) / relative)
        if entry.is_symlink() and not call["follow"] and call["local_follow"] is False:
            result = call.remote("file", _file(call, target, "link", src=str(entry.readlink())))
        elif entry.is_dir():
            result = call.remote("file", _file(call, target, "directory", mode=mode))
        else:
            result = send_file(call, entry, {**call.parameters, "dest": target})
        if result.get("failed"):
            return result
        changed = changed or bool(result.get("changed"))
        diffs.append(result.get("diff"))
    dest = call["dest"].rstrip("/") + "/"
    return {"changed": changed, "dest": dest, "src": str(path), "diff": [diff for diff in diffs if diff]}


def _file(call: ActionCall, path: str, state: str, **further: Any) -> dict[str, Any]:
    parameters = {"path": path, "state": state, "owner": call["owner"], "group": call["group"], "force": True}
    return {**_FILE_DEFAULTS, **parameters, **further}


_FILE_DEFAULTS: dict[str, Any] = {"recurse": False, "src": None, "mode": None, "follow": True}
