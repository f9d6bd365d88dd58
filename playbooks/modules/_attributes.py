"""Owner, group, mode and attributes of a file: what a task asks for, against what the file has.

Invariant: with `call.check` nothing is changed, and what would be is told all the same.
"""

from __future__ import annotations

import os
import shutil
import stat
from typing import Any

from playbooks.engine.helper.call import Call, Failure
from playbooks.modules import _files

_LABELS = ("seuser", "serole", "setype", "selevel")


def apply(call: Call, path: str, difference: dict[str, Any] | None = None, **instead: Any) -> bool:
    """Make a path itself, not what a link names, as the parameters say; whether that changes anything.

    `instead` has precedence over parameters of the same name. Raises Failure.
    """
    wanted = {**call.parameters, **instead}
    asked = [name for name in ("owner", "group", "mode", "attributes") if wanted.get(name) is not None]
    if call.check and not os.path.exists(path):
        return bool(asked)
    _refuse_labels(wanted, path)
    owner = _chown(call, path, "owner", wanted.get("owner"), difference)
    group = _chown(call, path, "group", wanted.get("group"), difference)
    mode = _chmod(call, path, wanted.get("mode"), difference)
    return _chattr(call, path, wanted.get("attributes"), difference) or mode or group or owner


def flags(call: Call, path: str) -> str:
    """The attributes of a file in an extended file system, as letters; "" where it has none."""
    tool = shutil.which("lsattr")
    done = call.run([tool, "-d", path]) if tool else None
    return done.out.split()[0].replace("-", "") if done and done.status == 0 and done.out.strip() else ""


_NAMES = {
    "A": "noatime", "a": "append", "c": "compressed", "C": "nocow", "d": "nodump", "D": "dirsync", "e": "extents",
    "E": "encrypted", "h": "blocksize", "i": "immutable", "I": "indexed", "j": "journalled", "N": "inline",
    "s": "zero", "S": "synchronous", "t": "notail", "T": "blockroot", "u": "undelete", "X": "compressedraw",
    "Z": "compresseddirty",
}  # fmt: skip


def described(call: Call, path: str) -> dict[str, Any]:
    """What results say about a file's attributes."""
    tool = shutil.which("lsattr")
    done = call.run([tool, "-vd", path]) if tool else None
    words = done.out.split() if done and done.status == 0 else []
    if len(words) < 2:
        return {"version": None, "attr_flags": "", "attributes": []}
    letters = words[1].replace("-", "")
    names = [_NAMES[letter] for letter in letters if letter in _NAMES]
    return {"version": words[0], "attr_flags": letters, "attributes": names}


def _refuse_labels(wanted: dict[str, Any], path: str) -> None:
    """Without SELinux its labels say nothing, as in Ansible; with it they cannot be set here."""
    asked = [name for name in _LABELS if wanted.get(name)]
    if asked and os.path.exists("/sys/fs/selinux/enforce"):
        raise Failure(
            f"{', '.join(asked)} cannot be set: Wherry changes no SELinux labels; run chcon for it", path=path
        )


def _chown(call: Call, path: str, what: str, name: Any, difference: dict[str, Any] | None) -> bool:
    if name is None:
        return False
    status = os.lstat(path)
    if what == "owner":
        current, wanted = status.st_uid, _files.user_id(name, path)
    else:
        current, wanted = status.st_gid, _files.group_id(name, path)
    if current == wanted:
        return False
    note(difference, what, current, wanted)
    if not call.check:
        try:
            os.lchown(path, *((wanted, -1) if what == "owner" else (-1, wanted)))
        except OSError as error:
            raise Failure("chown failed" if what == "owner" else "chgrp failed", path=path) from error
    return True


def _chmod(call: Call, path: str, mode: Any, difference: dict[str, Any] | None) -> bool:
    if mode is None:
        return False
    status = os.lstat(path)
    current = stat.S_IMODE(status.st_mode)
    wanted = _files.mode_of(mode, path, current, stat.S_ISDIR(status.st_mode))
    if wanted == current:
        return False
    note(difference, "mode", f"0{current:03o}", f"0{wanted:03o}")
    if call.check:
        return True
    if not stat.S_ISLNK(status.st_mode):
        os.chmod(path, wanted)
    return stat.S_IMODE(os.lstat(path).st_mode) != current


def _chattr(call: Call, path: str, asked: str | None, difference: dict[str, Any] | None) -> bool:
    if asked is None:
        return False
    sign = asked[0] if asked[:1] in ("+", "-") else "="
    letters = asked[1:] if asked[:1] in ("+", "-") else asked
    present = flags(call, path)
    if not letters or (present == letters and sign != "-"):
        return False
    note(difference, "attributes", present or None, sign + letters)
    if not call.check:
        done = call.run(["chattr", sign + letters, path])
        if done.status != 0 or done.err:
            details = f"Error while setting attributes: {done.out}{done.err}"
            raise Failure("chattr failed", path=path, details=details)
    return True


def note(difference: dict[str, Any] | None, key: str, before: Any, after: Any) -> None:
    """Remember in a difference that something is another."""
    if difference is not None:
        difference.setdefault("before", {})[key] = before
        difference.setdefault("after", {})[key] = after
