"""What modules share about files: mode, owner and group, atomic replacement, hashes, diffs.

Invariant: a file is replaced by renaming a complete one over it; with `call.check` nothing is written.
"""

from __future__ import annotations

import contextlib
import grp
import hashlib
import os
import pwd
import re
import shutil
import stat
import tempfile
import time
from typing import Any

from playbooks.engine.helper.call import Call, Failure

_SYMBOLIC = re.compile(r"^[ugoa]*(?:[-+=](?:[rwxXst]*|[ugo]))+$")
_BITS = {"r": 4, "w": 2, "x": 1}
_SHIFT = {"u": 6, "g": 3, "o": 0}
LARGEST_DIFF = 100 * 1024


def _read_umask() -> int:
    current = os.umask(0o022)
    os.umask(current)
    return current


# Read once: asking for it sets it, for every thread.
_UMASK = _read_umask()


def digest(path: str, algorithm: str = "sha1") -> str:
    """The hash of a file's content; "" if it is no readable regular file."""
    if not os.path.isfile(path):
        return ""
    found = hashlib.new(algorithm)
    with open(path, "rb") as stream:
        for chunk in iter(lambda: stream.read(1 << 20), b""):
            found.update(chunk)
    return found.hexdigest()


def mode_of(value: Any, path: str, current: int, directory: bool) -> int:
    """The permission bits that a `mode` asks for, given those that are there. Raises Failure."""
    if isinstance(value, int):
        return value & 0o7777
    text = str(value).strip()
    if re.fullmatch(r"(0o)?[0-7]{1,5}", text):
        return int(text.replace("o", ""), 8)
    bits = current
    for clause in text.split(","):
        if not _SYMBOLIC.match(clause):
            raise Failure(f"bad symbolic permission for mode: {text}", path=path)
        bits = _symbolic(clause, bits, directory)
    return bits


def _symbolic(clause: str, bits: int, directory: bool) -> int:
    who = re.match(r"[ugoa]*", clause)
    users = who.group() if who else ""
    everyone = not users or "a" in users
    classes = "ugo" if everyone else users
    umask = _UMASK if not users else 0
    for operator, letters in re.findall(r"([-+=])([rwxXst]*|[ugo])", clause):
        mask = 0
        for user in classes:
            shift = _SHIFT[user]
            value = 0
            for letter in letters:
                if letter in _BITS:
                    value |= _BITS[letter] << shift
                elif letter == "X" and (directory or bits & 0o111):
                    value |= 1 << shift
                elif letter in _SHIFT:
                    value |= ((bits >> _SHIFT[letter]) & 7) << shift
                elif letter == "s" and user in "ug":
                    value |= 0o4000 if user == "u" else 0o2000
                elif letter == "t":
                    value |= 0o1000
            mask |= value
            if operator == "=":
                bits &= ~(7 << shift)
                bits &= ~({"u": 0o4000, "g": 0o2000, "o": 0}[user] if not directory else 0)
        mask &= ~umask
        bits = bits & ~mask if operator == "-" else bits | mask
    return bits


def user_id(name: Any) -> int:
    """The number of a user given by name or number. Raises Failure."""
    try:
        return int(name)
    except ValueError:
        pass
    try:
        return pwd.getpwnam(str(name)).pw_uid
    except KeyError as error:
        raise Failure(f"chown failed: failed to look up user {name}") from error


def group_id(name: Any) -> int:
    """The number of a group given by name or number. Raises Failure."""
    try:
        return int(name)
    except ValueError:
        pass
    try:
        return grp.getgrnam(str(name)).gr_gid
    except KeyError as error:
        raise Failure(f"chgrp failed: failed to look up group {name}") from error


def apply_attributes(call: Call, path: str, *, follow: bool = True, difference: dict[str, Any] | None = None) -> bool:
    """Make a file's owner, group and mode as the parameters say; whether that changes anything."""
    if not os.path.lexists(path):
        return bool(call.check)
    status = os.stat(path) if follow else os.lstat(path)
    link = stat.S_ISLNK(status.st_mode)
    owner = -1 if call["owner"] is None else user_id(call["owner"])
    group = -1 if call["group"] is None else group_id(call["group"])
    changed = False
    if owner not in (-1, status.st_uid) or group not in (-1, status.st_gid):
        changed = True
        _note(difference, "owner", status.st_uid, owner)
        _note(difference, "group", status.st_gid, group)
        if not call.check:
            _chown(path, owner, group, follow)
    mode = call["mode"]
    if mode is not None and mode != "preserve" and not link:
        current = stat.S_IMODE(status.st_mode)
        wanted = mode_of(mode, path, current, stat.S_ISDIR(status.st_mode))
        if wanted != current or (changed and wanted & 0o6000):
            changed = True
            _note(difference, "mode", f"0{current:o}", f"0{wanted:o}")
            if not call.check:
                os.chmod(path, wanted)
    return changed


def _chown(path: str, owner: int, group: int, follow: bool) -> None:
    try:
        os.chown(path, owner, group, follow_symlinks=follow)
    except PermissionError as error:
        raise Failure(f"chown failed: {error}", path=path) from error


def _note(difference: dict[str, Any] | None, key: str, before: Any, after: Any) -> None:
    if difference is not None and after != -1 and before != after:
        difference.setdefault("before", {})[key] = before
        difference.setdefault("after", {})[key] = after


def describe(path: str) -> dict[str, Any]:
    """What results say about a file: owner, group, mode, size, state."""
    try:
        status = os.lstat(path)
    except OSError:
        return {"path": path, "state": "absent"}
    return {
        "uid": status.st_uid,
        "gid": status.st_gid,
        "owner": _name(pwd.getpwuid, status.st_uid),
        "group": _name(grp.getgrgid, status.st_gid),
        "mode": f"0{stat.S_IMODE(status.st_mode):03o}",
        "size": status.st_size,
        "state": state_of(path),
    }


def _name(lookup: Any, number: int) -> str:
    try:
        return str(lookup(number)[0])
    except KeyError:
        return str(number)


def state_of(path: str) -> str:
    """`absent`, `link`, `directory`, `hard` or `file`."""
    try:
        status = os.lstat(path)
    except OSError:
        return "absent"
    if stat.S_ISLNK(status.st_mode):
        return "link"
    if stat.S_ISDIR(status.st_mode):
        return "directory"
    return "hard" if status.st_nlink > 1 else "file"


def backup(path: str) -> str:
    """Keep a copy of a file beside it; the copy's name."""
    stamp = time.strftime("%Y-%m-%d@%H:%M:%S~", time.localtime())
    name = f"{path}.{os.getpid()}.{stamp}"
    shutil.copy2(path, name)
    return name


def temporary(path: str) -> tuple[int, str]:
    """A new file beside `path`, open for writing."""
    directory = os.path.dirname(path) or "."
    try:
        return tempfile.mkstemp(prefix=".wherry-", dir=directory)
    except OSError as error:
        raise Failure(f"cannot write into {directory}: {error.strerror}", path=path) from error


def replace(source: str, path: str) -> None:
    """Move a complete file over `path`, which keeps its owner and mode; a new one gets the umask's mode."""
    try:
        status = os.stat(path)
    except FileNotFoundError:
        os.chmod(source, 0o666 & ~_UMASK)
    else:
        os.chmod(source, stat.S_IMODE(status.st_mode))
        if (status.st_uid, status.st_gid) != (os.geteuid(), os.getegid()):
            # An unprivileged user's new file is the user's own, as with any editor.
            with contextlib.suppress(PermissionError):
                os.chown(source, status.st_uid, status.st_gid)
    try:
        os.rename(source, path)
    except OSError:
        # A bind-mounted file cannot be renamed over.
        with open(source, "rb") as old, open(path, "wb") as new:
            shutil.copyfileobj(old, new)
        os.unlink(source)


def write(call: Call, path: str, data: bytes, validate: str | None = None) -> None:
    """Make a file have this content, at once, after `validate` accepted it. Raises Failure."""
    descriptor, name = temporary(path)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(data)
        check_with(call, validate, name)
        replace(name, path)
    finally:
        if os.path.exists(name):
            os.unlink(name)


def check_with(call: Call, validate: str | None, name: str) -> None:
    """Run a `validate` command on a file. Raises Failure if it refuses."""
    if not validate:
        return
    if "%s" not in validate:
        raise Failure(f"validate must contain %s: {validate}")
    done = call.run(validate.replace("%s", name))
    if done.status != 0:
        raise Failure("failed to validate", exit_status=done.status, stdout=done.out, stderr=done.err)


def text_diff(path: str, before: bytes, after: bytes) -> dict[str, Any]:
    """What the display needs to show a change of content."""
    for side in (before, after):
        if b"\0" in side[:8192]:
            return {"prepared": f"{path}: binary content differs"}
        if len(side) > LARGEST_DIFF:
            return {"prepared": f"{path}: content of {len(side)} bytes differs"}
    return {
        "before": before.decode("utf-8", "replace"),
        "after": after.decode("utf-8", "replace"),
        "before_header": path,
        "after_header": path,
    }


def read(path: str) -> bytes:
    """A file's content, b"" if there is none."""
    try:
        with open(path, "rb") as stream:
            return stream.read()
    except FileNotFoundError:
        return b""
