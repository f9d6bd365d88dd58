"""Keys that may log in as a user."""

from __future__ import annotations

import os
import pwd
import re
from typing import Any, NamedTuple, Sequence
from urllib.parse import urlsplit

from playbooks.engine.helper.call import Call, Failure
from playbooks.engine.helper.options import Option
from playbooks.modules import _files
from playbooks.modules._download import opened

OPTIONS = {
    "user": Option(required=True),
    "key": Option(required=True),
    "path": Option("path"),
    "manage_dir": Option("bool", default=True),
    "state": Option(default="present", choices=("absent", "present")),
    "key_options": Option(),
    "exclusive": Option("bool", default=False),
    "comment": Option(),
    "validate_certs": Option("bool", default=True),
    "follow": Option("bool", default=False),
}
_KIND = re.compile(
    r"(ssh-(dss|rsa|ed25519)|ecdsa-sha2-nistp(256|384|521)|rsa-sha2-(256|512))(-cert-v01@openssh\.com)?"
    r"|(ssh-xmss|sk-(ssh-ed25519|ecdsa-sha2-nistp256))(-cert-v01)?@openssh\.com"
    r"|webauthn-sk-ecdsa-sha2-nistp256@openssh\.com"
)
# Options are words with quoted texts in them; blanks within quotes part nothing.
_WORD = re.compile(r'(?:[^\s"]|"(?:\\.|[^"\\])*"|")+')


class Key(NamedTuple):
    """A line of the file; what is no key has only its text."""

    blob: str
    kind: str = ""
    options: str = ""
    comment: str = ""

    def __str__(self) -> str:
        return " ".join(part for part in (self.options, self.kind, self.blob, self.comment) if part)


def run(call: Call) -> dict[str, Any]:
    """Ansible's result of `authorized_key`."""
    entry = _user(call)
    path = call["path"] or os.path.join(entry.pw_dir if entry else "", ".ssh", "authorized_keys")
    target = os.path.realpath(path) if call["follow"] else path
    before = _files.read(path).decode("utf-8", "surrogateescape")
    after = edited(before, _given(call), call["state"] == "present", call["exclusive"])
    changed = before != after
    if changed and entry and not call.check:
        _write(call, target, after, entry)
    result = {**{name: call[name] for name in OPTIONS}, "changed": changed, "keyfile": path}
    if call.diff and changed:
        difference = _files.difference(path, before, after)
        result["diff"] = {**difference, "after_header": target} if "after" in difference else difference
    return result


def _user(call: Call) -> pwd.struct_passwd | None:
    """Whose file it is; with `check` a path says enough, as the user may be made by a task before this one."""
    try:
        return pwd.getpwnam(call["user"])
    except KeyError as error:
        if not call.check:
            raise Failure(f"Failed to lookup user {call['user']}") from error
        if not call["path"]:
            raise Failure("Either user must exist or you must provide full path to key file in check mode") from error
        return None


def _write(call: Call, path: str, text: str, entry: pwd.struct_passwd) -> None:
    directory = os.path.dirname(path)
    if call["manage_dir"]:
        os.makedirs(directory, 0o700, exist_ok=True)
        os.chown(directory, entry.pw_uid, entry.pw_gid)
        os.chmod(directory, 0o700)
    elif directory:
        os.makedirs(directory, exist_ok=True)
    _files.write(call, path, text.encode("utf-8", "surrogateescape"))
    # sshd reads no file that others than its user may write.
    os.chown(path, entry.pw_uid, entry.pw_gid)
    os.chmod(path, 0o600)


def _given(call: Call) -> list[Key]:
    """The keys of the task, with the options and the comment that it sets."""
    text = call["key"]
    if text.startswith("http"):
        text = _fetched(call, text)
    elif text.startswith("file"):
        path = urlsplit(text).path
        if not os.path.isfile(path):
            what = "is a directory and must be a file" if os.path.isdir(path) else "file not found"
            raise Failure(f"Path to a key {what}: {path}")
        text = _files.read(path).decode("utf-8", "surrogateescape")
    found = []
    for line in text.splitlines():
        if not line or line.startswith("#"):
            continue
        key = parsed(line)
        if not key.kind:
            raise Failure(f"invalid key specified: {line}")
        options, comment = call["key_options"], call["comment"]
        key = key if options is None else key._replace(options=options)
        found.append(key if comment is None else key._replace(comment=comment))
    return found


def _fetched(call: Call, url: str) -> str:
    try:
        with opened(url, validate_certs=call["validate_certs"]) as response:
            if response.status == 200:
                return str(response.read().decode("utf-8", "surrogateescape"))
            reason: object = f"HTTP status {response.status}"
    except OSError as error:
        reason = getattr(error, "reason", error)
    raise Failure(f"Error getting key from: {url}: {reason}")


def parsed(line: str) -> Key:
    """A line as a key; comments and what is none have no kind."""
    words = _WORD.findall(line)
    for index, word in enumerate(words[:-1]):
        if words[0].startswith("#"):
            break
        if _KIND.fullmatch(word):
            return Key(words[index + 1], word, " ".join(words[:index]), " ".join(words[index + 2 :]))
    return Key(line)


def edited(text: str, given: Sequence[Key], present: bool, exclusive: bool) -> str:
    """The file's text with these keys or without them; `exclusive` leaves nothing else, comments neither.

    A key that is there with other options or another comment is replaced, behind all others.
    """
    existing = {key.blob: key for key in map(parsed, text.splitlines())}
    wanted = {key.blob: key for key in given}
    if not present:
        kept = [key for blob, key in existing.items() if blob not in wanted]
    else:
        same = [key for key in existing.values() if wanted.get(key.blob) == key]
        others = [] if exclusive else [key for blob, key in existing.items() if blob not in wanted]
        new = [key for blob, key in wanted.items() if existing.get(blob) != key]
        kept = [key for key in existing.values() if key in same or key in others] + new
    if kept == list(existing.values()):
        return text
    return "".join(f"{key}\n" for key in kept)
