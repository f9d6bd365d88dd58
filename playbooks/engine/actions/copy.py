"""The near half of `copy`: finds the file or directory here; its bytes travel only if the host lacks them."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from playbooks.engine.actions.context import ActionCall, Result
from playbooks.engine.helper.options import FILE_OPTIONS
from playbooks.errors import PlaybookError, TaskError
from playbooks.modules import file as file_module
from playbooks.modules._files import LARGEST_DIFF

# Below this a file travels with the request; asking for it would cost more.
_INLINE = 48 * 1024
_VAULT = b"$ANSIBLE_VAULT"


def run(call: ActionCall) -> Result:
    """Ansible's result of `copy`."""
    content, source, dest = call["content"], call["src"], call["dest"]
    if dest is None:
        raise TaskError("dest is required")
    if not source and content is None:
        raise TaskError("src (or content) is required")
    if source and content is not None:
        raise TaskError("src and content are mutually exclusive")
    if content is not None and dest.endswith("/"):
        raise TaskError("can not use content with a dir as dest")
    if content is not None:
        text = json.dumps(content) if isinstance(content, dict | list) else str(content)
        return send(call, text.encode("utf-8", "surrogateescape"), {**call.parameters, "src": None})
    if call["remote_src"]:
        return call.remote("copy", call.parameters)
    try:
        path = call.find("files", source)
    except PlaybookError as error:
        raise TaskError(str(error)) from error
    if path.is_dir():
        return _directory(call, path)
    return send_file(call, path, {**call.parameters, "src": str(path), "original_basename": path.name})


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
            merged["mode"] = f"0{path.stat().st_mode & 0o7777:03o}"
        return _send(call, stream, path.stat().st_size, checksum, merged)


def _send(call: ActionCall, stream: BinaryIO, size: int, checksum: str, parameters: Mapping[str, Any]) -> Result:
    # The content has come: `remote_src` is of what is on the host already.
    given = {"original_basename": "", **parameters, "content": None, "remote_src": False}
    given.update(checksum=checksum, expected_checksum=parameters.get("checksum"))
    inline = size <= (LARGEST_DIFF if call.diff else _INLINE)
    if inline:
        given["inline"] = stream.read().decode("latin-1")
    result = call.remote("copy", given, source=None if inline else stream)
    if "kept" in result:
        return {"dest": result["kept"], "src": given["src"], "changed": False}
    return result


class _Entry(NamedTuple):
    """Something in a directory: what it is, where, and its place below the destination; of a link what it names."""

    kind: str
    source: str
    place: str


def _directory(call: ActionCall, path: Path) -> Result:
    """Copy a tree, file by file; with a trailing slash what is in it, else the directory itself."""
    whole = str(call["src"]).endswith("/")
    entries = list(_walk(path, "" if whole else path.name, call["local_follow"] is not False, (path.resolve(),)))
    files = [entry for entry in entries if entry.kind == "file"]
    nested = any(entry.kind == "directory" for entry in entries)
    dest = call["dest"].rstrip("/") + "/"
    changed, result = False, {}
    for entry in (*files, *(e for e in entries if e.kind == "directory"), *(e for e in entries if e.kind == "link")):
        result = _one(call, entry, dest, follow=call["follow"] and not nested)
        if result.get("failed"):
            return result
        changed = changed or bool(result.get("changed"))
    if len(files) == 1:
        return {**result, "dest": result.get("dest", result.get("path", dest)), "changed": result.get("changed", False)}
    return {"dest": dest, "src": str(path) + ("/" if whole else ""), "changed": changed}


def _one(call: ActionCall, entry: _Entry, dest: str, *, follow: bool) -> Result:
    if entry.kind == "file":
        given = {**call.parameters, "dest": dest, "src": entry.source, "follow": follow}
        return send_file(call, Path(entry.source), {**given, "original_basename": entry.place})
    own = {name: call[name] for name in FILE_OPTIONS}
    defaults = {name: option.default for name, option in file_module.OPTIONS.items()}
    given = {**defaults, **own, "path": dest + entry.place, "force": True, "state": entry.kind}
    if entry.kind == "directory":
        return call.remote("file", {**given, "mode": call["directory_mode"], "follow": call["follow"]})
    mode = None if call["mode"] == "preserve" else call["mode"]
    return call.remote("file", {**given, "mode": mode, "src": entry.source, "follow": follow})


def _walk(top: Path, place: str, follow: bool, inside: tuple[Path, ...]) -> Iterator[_Entry]:
    """What is in a directory, and the directory itself if it has a place; links that would lead back stay links."""
    if place:
        yield _Entry("directory", str(top), place)
    for path in top.iterdir():
        below = f"{place}/{path.name}" if place else path.name
        target = path.resolve()
        if path.is_dir() and (not path.is_symlink() or (follow and target not in inside)):
            yield from _walk(target if path.is_symlink() else path, below, follow, (*inside, target))
        elif path.is_file() and (not path.is_symlink() or follow):
            yield _Entry("file", str(target if path.is_symlink() else path), below)
        else:
            yield _Entry("link", str(path.readlink()), below)
