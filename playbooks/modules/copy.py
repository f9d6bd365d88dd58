"""The far half of `copy`: compares hashes, takes the bytes if they differ, sets owner, group and mode.

What is sent is handled in two ways, as in Ansible: a file that has the content already is one for the `file` module.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from typing import Any

from playbooks.engine.helper.call import Call, Failure
from playbooks.engine.helper.options import FILE_OPTIONS, Option
from playbooks.modules import _attributes, _files, _trees, file

OPTIONS = {
    "src": Option("path"),
    "content": Option("raw", secret=True),
    "dest": Option("path", required=True),
    "backup": Option("bool", default=False),
    "force": Option("bool", default=True),
    "remote_src": Option("bool", default=False),
    "follow": Option("bool", default=False),
    "local_follow": Option("bool"),
    "directory_mode": Option("raw"),
    "validate": Option(),
    "checksum": Option(),
    "decrypt": Option("bool", default=True),
    **FILE_OPTIONS,
}


def run(call: Call) -> dict[str, Any]:
    """Ansible's result of `copy`."""
    if call["remote_src"] and call["src"]:
        return _here(call)
    name = call.parameters["original_basename"]
    dest: str = call["dest"]
    path = os.path.join(dest, name) if dest.endswith("/") else dest
    if os.path.isdir(path) and (call["follow"] or not os.path.islink(path)):
        if not name:
            raise Failure("can not use content with a dir as dest", diff=[])
        path = os.path.join(dest, name)
    if os.path.lexists(path) and not call["force"]:
        return {"kept": dest, "changed": False}
    if _files.digest(path) == call["checksum"] and (call["follow"] or not os.path.islink(path)):
        return _same(call, path)
    result: dict[str, Any] = {"diff": [_difference(call, path)] if call.diff else []}
    if call.check:
        return {**result, "changed": True}
    try:
        return {**result, **_receive(call, dest, name)}
    except Failure as error:
        raise Failure(str(error), **{**result, "checksum": call["checksum"], **error.result}) from error


def _same(call: Call, path: str) -> dict[str, Any]:
    """The result of `file` for a file that has the content."""
    defaults = {name: option.default for name, option in file.OPTIONS.items()}
    given = {name: call[name] for name in (*FILE_OPTIONS, "follow")}
    call.parameters = {**defaults, **given, "path": path, "state": "file", "checksum": call["checksum"]}
    result = file.run(call)
    return {**result, "dest": result["path"], "checksum": call["checksum"]}


def _difference(call: Call, path: str) -> dict[str, Any]:
    """What the file has and what it is to have, or why that is not told."""
    inline, found = call.parameters.get("inline"), _files.side("dst", "before", path, path)
    if inline is None:
        return {**found, "src_larger": _files.LARGEST_DIFF}
    header = path if call["src"] is None else call["src"]
    return {**found, **_files.side_of("src", "after", header, inline.encode("latin-1"))}


def _receive(call: Call, dest: str, name: str) -> dict[str, Any]:
    """Take the bytes into a file of their own, check them, and put it into its place."""
    with tempfile.TemporaryDirectory(prefix="wherry-copy-") as directory:
        source = os.path.join(directory, f".source{os.path.splitext(dest)[1]}")
        with open(os.open(source, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as sink:
            inline = call.parameters.get("inline")
            if inline is None:
                call.receive(sink)
            else:
                sink.write(inline.encode("latin-1"))
        return _place(call, source, dest, name)


def _place(call: Call, source: str, dest: str, name: str) -> dict[str, Any]:
    """Make a file of the host have the content of another there."""
    sums: dict[str, Any] = {"md5sum": _md5(source), "checksum": _files.digest(source)}
    expected = call.parameters.get("expected_checksum") or call["checksum"]
    if expected and sums["checksum"] != expected:
        message = "Copied file does not match the expected checksum. Transfer failed."
        raise Failure(message, checksum=sums["checksum"], expected_checksum=expected)
    made = False
    if dest.endswith("/"):
        directory = dest.rstrip("/")
        if not os.path.exists(directory) and call.check:
            return {"msg": f"dest directory {directory} would be created", "changed": True, "src": source}
        if not os.path.exists(os.path.dirname(os.path.join(dest, name))):
            made = True
            _make_directories(call, os.path.dirname(os.path.join(dest, name)))
        dest = os.path.join(dest, name) if name else dest
    if os.path.isdir(dest):
        dest = os.path.join(dest, name or os.path.basename(source))
    _refuse(call, dest)
    if os.path.islink(dest) and call["follow"]:
        dest = os.path.realpath(dest)
    result: dict[str, Any] = {"dest": dest, "src": source, **sums, "changed": made}
    if os.path.exists(dest) and not call["force"]:
        return {"msg": "file already exists", "src": source, "dest": dest, "changed": False}
    if _files.digest(dest) != sums["checksum"] or os.path.islink(dest):
        result["changed"] = True
        if not call.check:
            if call["backup"] and os.path.exists(dest):
                result["backup_file"] = _files.backup(dest)
            _move(call, source, dest)
    result["changed"] = _attributes.apply(call, dest) or result["changed"]
    return result


def _refuse(call: Call, dest: str) -> None:
    """Raises Failure if there is no place for a file."""
    directory = os.path.dirname(dest) or "."
    if not os.path.exists(directory):
        raise Failure(f"Destination directory {directory} does not exist")
    if not os.access(directory, os.W_OK) and not call["unsafe_writes"]:
        raise Failure(f"Destination {directory} not writable")


def _make_directories(call: Call, directory: str) -> None:
    for part in file.missing(directory):
        os.mkdir(part)
        _attributes.apply(call, part, mode=call["directory_mode"])


def _move(call: Call, source: str, dest: str) -> None:
    """Put a complete copy of a file into the place of another, whose owner and mode stay if the content was sent."""
    # What takes a link's place is as new as where there was nothing.
    linked = os.path.islink(dest)
    descriptor, name = _files.temporary(dest, unsafe=call["unsafe_writes"])
    os.close(descriptor)
    try:
        if call["remote_src"]:
            shutil.copy2(source, name)
        else:
            shutil.copyfile(source, name)
        if call["validate"]:
            _attributes.apply(call, name)
        _files.check_with(call, call["validate"], name)
        if linked:
            if not call["remote_src"]:
                os.chmod(name, _files.usual_mode())
            os.rename(name, dest)
        else:
            _files.replace(name, dest, keep=not call["remote_src"])
    finally:
        if os.path.exists(name):
            os.unlink(name)


def _md5(path: str) -> str | None:
    try:
        return _files.digest(path, "md5")
    except ValueError:
        # Not where only approved hashes may be used.
        return None


def _here(call: Call) -> dict[str, Any]:
    """`remote_src`: from one place of the host to another."""
    source: str = call["src"]
    if not os.path.exists(source):
        raise Failure(f"Source {source} not found")
    if call["mode"] == "preserve":
        call.parameters["mode"] = f"0{os.stat(source).st_mode & 0o7777:03o}"
    if not os.path.isdir(source):
        if not os.path.isfile(source):
            raise Failure(f"Cannot copy invalid source '{source}': not a file")
        return _place(call, source, call["dest"], os.path.basename(source))
    return _tree(call, source)


def _tree(call: Call, source: str) -> dict[str, Any]:
    dest: str = call["dest"]
    if os.path.lexists(dest) and not os.path.isdir(dest):
        raise Failure(f"Failed to copy {source!r} to {dest!r}.")
    if call.check and dest.endswith("/") and not os.path.exists(dest):
        return {"msg": f"dest directory {dest.rstrip('/')} would be created", "changed": True, "src": source}
    changed = dest.endswith("/") and not os.path.exists(dest)
    if changed:
        _make_directories(call, dest.rstrip("/"))
    target = dest if source.endswith("/") else os.path.join(dest, os.path.basename(source))
    # The result is of the directory that a directory lands in.
    shown = os.path.join(dest, os.path.basename(source)) if os.path.isdir(dest) else dest
    changed = _trees.copy(call, source, target) or changed
    result = {"dest": shown, "src": source, "md5sum": None, "checksum": None}
    return {**result, "changed": _attributes.apply(call, shown) or changed}
