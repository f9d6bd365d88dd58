"""Host keys that the host itself trusts."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import shutil
from typing import Any

from playbooks.engine.helper.call import Call, Failure
from playbooks.engine.helper.options import Option
from playbooks.modules import _files

OPTIONS = {
    "name": Option(required=True, aliases=("host",)),
    "key": Option(),
    "path": Option("path", default="~/.ssh/known_hosts"),
    "hash_host": Option("bool", default=False),
    "state": Option(default="present", choices=("absent", "present")),
}


def run(call: Call) -> dict[str, Any]:
    """Ansible's result of `known_hosts`."""
    path = os.path.expanduser(call["path"])
    there = os.path.exists(path)
    before = _files.read(path).decode("utf-8", "surrogateescape")
    lines = before.splitlines()
    if call["state"] == "absent":
        kept = [line for line in lines if not _about(line, call["name"])]
    else:
        kept = _with(call, lines)
    after = "\n".join(kept) + ("\n" if kept else "")
    changed = after != before
    if changed and not call.check:
        if not os.path.isdir(os.path.dirname(path)):
            os.makedirs(os.path.dirname(path), 0o700)
        if any(line not in kept for line in lines):
            # As ssh-keygen -R does, which Ansible leaves this to.
            shutil.copy2(path, f"{path}.old")
        _files.write(call, path, after.encode("utf-8", "surrogateescape"))
    difference = _files.difference(path, before, after)
    difference["before_header"] = path if there else os.devnull
    if call.check:
        return {"changed": changed, "diff": difference}
    return {
        "changed": changed, "state": call["state"],
        "name": call["name"], "key": call["key"], "hash_host": call["hash_host"],
        "path": path, "diff": difference,
    }  # fmt: skip


def _with(call: Call, lines: list[str]) -> list[str]:
    kept = list(lines)
    # ssh-keyscan says between the keys which server gave them.
    scanned = [line for line in (call["key"] or "").splitlines() if line.strip() and not line.strip().startswith("#")]
    if not scanned:
        raise Failure("No key specified when adding a host")
    for given in scanned:
        words = given.split()
        if len(words) < 3 or not _about(given, call["name"]):
            raise Failure("Host parameter does not match hashed host field in supplied key")
        kind, blob = words[1], words[2]
        same = [line for line in kept if _about(line, call["name"]) and line.split()[1:3] == [kind, blob]]
        hashed = [line for line in same if line.startswith("|1|") == call["hash_host"]]
        if hashed:
            continue
        kept = [line for line in kept if not (_about(line, call["name"]) and line.split()[1:2] == [kind])]
        name = _hashed(call["name"]) if call["hash_host"] else words[0]
        kept.append(" ".join([name, *words[1:]]))
    return kept


def _about(line: str, name: str) -> bool:
    words = line.split()
    if not words or words[0].startswith("#"):
        return False
    field = words[1] if words[0].startswith("@") and len(words) > 1 else words[0]
    if field.startswith("|1|"):
        _, _, salt, digest = field.split("|")
        return _digest(base64.b64decode(salt), name) == base64.b64decode(digest)
    return name in field.split(",")


def _hashed(name: str) -> str:
    salt = os.urandom(20)
    parts = (base64.b64encode(part).decode() for part in (salt, _digest(salt, name)))
    return "|1|" + "|".join(parts)


def _digest(salt: bytes, name: str) -> bytes:
    return hmac.new(salt, name.encode(), hashlib.sha1).digest()
