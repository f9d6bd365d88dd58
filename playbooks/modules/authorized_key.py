"""Keys that may log in as a user."""

from __future__ import annotations

import os
import pwd
import shlex
from typing import Any

from playbooks.engine.helper.call import Call, Failure
from playbooks.engine.helper.options import Option
from playbooks.modules import _files
from playbooks.modules._download import opened

OPTIONS = {
    "user": Option(required=True),
    "key": Option(required=True),
    "path": Option(),
    "manage_dir": Option("bool", default=True),
    "state": Option(default="present", choices=("absent", "present")),
    "key_options": Option(),
    "exclusive": Option("bool", default=False),
    "comment": Option(),
    "validate_certs": Option("bool", default=True),
    "follow": Option("bool", default=False),
}
_TYPES = ("ssh-", "ecdsa-", "sk-")


def run(call: Call) -> dict[str, Any]:
    """Ansible's result of `authorized_key`."""
    try:
        entry = pwd.getpwnam(call["user"])
    except KeyError as error:
        raise Failure(f"Failed to lookup user {call['user']}") from error
    path = call["path"] or os.path.join(entry.pw_dir, ".ssh", "authorized_keys")
    before = _files.read(path).decode("utf-8", "surrogateescape")
    after = _edited(call, before, _given(call))
    changed = before != after
    if changed and not call.check:
        _prepare(call, os.path.dirname(path), entry)
        new = not os.path.exists(path)
        _files.write(call, path, after.encode("utf-8", "surrogateescape"))
        if new:
            os.chmod(path, 0o600)
            if call["manage_dir"]:
                os.chown(path, entry.pw_uid, entry.pw_gid)
    result = {name: call[name] for name in ("user", "key", "state", "exclusive", "key_options", "comment")}
    result.update(changed=changed, keyfile=path)
    if call.diff and changed:
        result["diff"] = _files.text_diff(path, before.encode(), after.encode())
    return result


def _prepare(call: Call, directory: str, entry: pwd.struct_passwd) -> None:
    if call["manage_dir"] and not os.path.isdir(directory):
        os.makedirs(directory, 0o700)
        os.chmod(directory, 0o700)
        os.chown(directory, entry.pw_uid, entry.pw_gid)


def _given(call: Call) -> list[str]:
    text = call["key"]
    if text.startswith(("http://", "https://", "file://")):
        with opened(text, validate_certs=call["validate_certs"]) as response:
            text = response.read().decode()
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.strip().startswith("#")]
    for line in lines:
        if _blob(line) == "":
            raise Failure(f"invalid key specified: {line}")
    return lines


def _blob(line: str) -> str:
    """What makes a key the same key: its base64 part; "" for a line that is no key."""
    try:
        words = shlex.split(line, posix=False)
    except ValueError:
        words = line.split()
    for index, word in enumerate(words):
        if word.startswith(_TYPES) and index + 1 < len(words):
            return words[index + 1]
    return ""


def _wanted(call: Call, line: str) -> str:
    """The line as it is to stand in the file."""
    blob = _blob(line)
    head, _, tail = line.partition(blob)
    if call["key_options"] is not None:
        head = f"{call['key_options']} {head.split()[-1]} "
    if call["comment"] is not None:
        tail = f" {call['comment']}"
    return f"{head}{blob}{tail}"


def _edited(call: Call, text: str, given: list[str]) -> str:
    lines = text.splitlines()
    wanted = {_blob(line): _wanted(call, line) for line in given}
    if call["state"] == "absent":
        kept = [line for line in lines if _blob(line) not in wanted]
    else:
        kept = []
        for line in lines:
            blob = _blob(line)
            if blob in wanted:
                kept.append(_kept(call, line, wanted.pop(blob)))
            elif not call["exclusive"] or not blob:
                kept.append(line)
        kept.extend(wanted.values())
    return "\n".join(kept) + ("\n" if kept else "")


def _kept(call: Call, line: str, wanted: str) -> str:
    """A key that is there already keeps its own options and comment unless the task says others."""
    return wanted if call["key_options"] is not None or call["comment"] is not None else line
