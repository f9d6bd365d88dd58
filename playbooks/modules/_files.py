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
import shlex
import shutil
import stat
import tempfile
import time
from typing import Any

from playbooks.engine.helper.call import Call, Failure

_BITS = {"r": 4, "w": 2, "x": 1}
_SHIFT = {"u": 6, "g": 3, "o": 0}
_SPECIAL = {"u": ("s", 0o4000), "g": ("s", 0o2000), "o": ("t", 0o1000)}
LARGEST_DIFF = 102 * 1024


def _read_umask() -> int:
    current = os.umask(0o022)
    os.umask(current)
    return current


# Read once: asking for it sets it, for every thread.
_UMASK = _read_umask()


def usual_mode(bits: int = 0o666) -> int:
    """What the umask leaves of a new file's mode."""
    return bits & ~_UMASK


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
    with contextlib.suppress(ValueError):
        number = value if isinstance(value, int) else int(str(value), 8)
        if number & ~0o7777:
            raise Failure("Invalid mode supplied, only permission info is allowed", path=path, details=str(number))
        return number
    bits = current
    for clause in str(value).split(","):
        who, *operations = re.split(r"([-+=])", clause)
        users = "ugo" if who in ("", "a") else who
        if not re.fullmatch("[ugo]+", users) or not all(
            re.fullmatch("[rwxXstugo]*", part) for part in operations[1::2]
        ):
            details = f"bad symbolic permission for mode: {clause}"
            raise Failure("mode must be in octal or symbolic form", path=path, details=details)
        for operator, letters in zip(operations[::2], operations[1::2]):
            for user in users:
                asked = _asked(user, letters, bits, directory, 0 if who else _UMASK)
                owned = 7 << _SHIFT[user] | _SPECIAL[user][1]
                bits = bits & ~asked if operator == "-" else bits | asked if operator == "+" else bits & ~owned | asked
    return bits


def _asked(user: str, letters: str, bits: int, directory: bool, umask: int) -> int:
    """The bits that letters mean for one kind of user."""
    shift, found = _SHIFT[user], 0
    for letter in letters:
        if letter in _BITS:
            found |= _BITS[letter] << shift & ~umask
        elif letter == "X":
            found |= (1 << shift) if directory or bits & 0o111 else 0
        elif letter in _SHIFT:
            found |= (bits >> _SHIFT[letter] & 7) << shift
        elif letter == _SPECIAL[user][0]:
            found |= _SPECIAL[user][1]
    return found


def user_id(name: Any, path: str) -> int:
    """The number of a user given by name or number. Raises Failure."""
    try:
        return int(name)
    except ValueError:
        pass
    try:
        return pwd.getpwnam(str(name)).pw_uid
    except KeyError as error:
        raise Failure(f"chown failed: failed to look up user {name}", path=path) from error


def group_id(name: Any, path: str) -> int:
    """The number of a group given by name or number. Raises Failure."""
    try:
        return int(name)
    except ValueError:
        pass
    try:
        return grp.getgrnam(str(name)).gr_gid
    except KeyError as error:
        raise Failure(f"chgrp failed: failed to look up group {name}", path=path) from error


def told(result: dict[str, Any]) -> dict[str, Any]:
    """A result with what every result, a failure's too, says about the file that is its `path` or `dest`."""
    path = result.get("path", result.get("dest"))
    if not isinstance(path, str) or not os.path.exists(path):
        return result
    status = os.lstat(path)
    return {
        **result,
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


def temporary(path: str, *, unsafe: bool = False) -> tuple[int, str]:
    """A new file beside `path`, open for writing; with `unsafe` elsewhere where nothing new can be beside it."""
    directory = os.path.dirname(path) or "."
    try:
        return tempfile.mkstemp(prefix=".wherry-", dir=directory)
    except OSError as error:
        if unsafe:
            return tempfile.mkstemp(prefix=".wherry-")
        raise Failure(f"cannot write into {directory}: {error.strerror}", path=path) from error


def replace(source: str, path: str, *, keep: bool = True) -> None:
    """Move a complete file over `path`, which with `keep` keeps its owner and mode; a new one gets the umask's mode."""
    try:
        status = os.stat(path)
    except FileNotFoundError:
        os.chmod(source, usual_mode())
    else:
        if keep:
            os.chmod(source, stat.S_IMODE(status.st_mode))
        if keep and (status.st_uid, status.st_gid) != (os.geteuid(), os.getegid()):
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


def move(source: str, path: str) -> None:
    """Put a complete file from anywhere over `path`."""
    descriptor, name = temporary(path)
    os.close(descriptor)
    try:
        shutil.copyfile(source, name)
        replace(name, path)
    finally:
        if os.path.exists(name):
            os.unlink(name)


def write(call: Call, path: str, data: bytes, validate: str | None = None) -> None:
    """Make a file have this content, at once, after `validate` accepted it. Raises Failure."""
    descriptor, name = temporary(path, unsafe=call.parameters.get("unsafe_writes", False))
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
    try:
        words = shlex.split(validate)
    except ValueError as error:
        raise Failure(f"validate cannot be split into words: {validate}: {error}") from error
    # No shell: its redirections and pipes would be words of the command, as with Ansible.
    done = call.run([call.filled_in(word).replace("%s", name) for word in words])
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


def difference(path: str, before: str, after: str) -> dict[str, Any]:
    """`text_diff` of texts in which bytes that are no UTF-8 are escaped."""
    return text_diff(path, *(text.encode("utf-8", "surrogateescape") for text in (before, after)))


def side(word: str, name: str, header: str, path: str) -> dict[str, Any]:
    """One side of a difference: a file's content, "" of what is no file."""
    if not os.path.isfile(path):
        return {name: ""}
    with open(path, "rb") as stream:
        return side_of(word, name, header, stream.read(LARGEST_DIFF + 1))


def side_of(word: str, name: str, header: str, content: bytes) -> dict[str, Any]:
    """One side of a difference: its content, or by `word` (`src`, `dst`) why that is not told."""
    if b"\0" in content:
        return {f"{word}_binary": 1}
    if len(content) > LARGEST_DIFF:
        return {f"{word}_larger": LARGEST_DIFF}
    return {f"{name}_header": header, name: content.decode("utf-8", "replace")}


def read(path: str) -> bytes:
    """A file's content, b"" if there is none."""
    try:
        with open(path, "rb") as stream:
            return stream.read()
    except FileNotFoundError:
        return b""
