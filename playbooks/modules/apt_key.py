"""Keys that apt trusts for all archives, by `apt-key`; newer systems have none, and deb822_repository instead."""

from __future__ import annotations

import os
import re
import shutil
from typing import Any

from playbooks.engine.helper.call import Call, Failure
from playbooks.engine.helper.options import Option
from playbooks.modules._download import opened

OPTIONS = {
    "id": Option(),
    "url": Option(),
    "data": Option(),
    "file": Option("path"),
    "keyring": Option("path"),
    "keyserver": Option(),
    "validate_certs": Option("bool", default=True),
    "state": Option(default="present", choices=("absent", "present")),
}
_SOURCES = ("data", "file", "keyserver", "url")


def run(call: Call) -> dict[str, Any]:
    """Ansible's result of `apt_key`."""
    given = [name for name in _SOURCES if call[name]]
    if len(given) > 1:
        raise Failure(f"parameters are mutually exclusive: {'|'.join(_SOURCES)}")
    for program, instead in (("apt-key", "; use deb822_repository with signed_by instead"), ("gpg", "")):
        if shutil.which(program) is None:
            raise Failure(f"the program {program} is not on this host{instead}")
    key = _key(call)
    whole = _identity(call["id"] or _first(call, key))
    result: dict[str, Any] = {
        "changed": False, "id": call["id"] or whole, "short_id": whole[-8:], "fp": whole[-16:], "key_id": whole,
    }  # fmt: skip
    result["before"] = before = _trusted(call, short=len(whole) == 8)
    there = (whole[-8:] if len(whole) == 8 else whole[-16:]) in before
    result["changed"] = there is (call["state"] == "absent")
    if not result["changed"] or call.check:
        return result
    if call["state"] == "absent":
        call.checked([*_apt_key(call), "del", whole[-8:]])
    elif call["keyserver"]:
        call.checked([*_apt_key(call), "adv", "--no-tty", "--keyserver", call["keyserver"], "--recv", whole])
    elif key is None:
        raise Failure("to add a key, one of data, file, keyserver and url is needed", **result)
    else:
        call.checked([*_apt_key(call), "add", "-"], input=key)
    result["after"] = after = _trusted(call, short=len(whole) == 8)
    if ((whole[-8:] if len(whole) == 8 else whole[-16:]) in after) is (call["state"] == "absent"):
        raise Failure(
            f"apt-key said nothing, but the key is {'still' if call['state'] == 'absent' else 'not'} there; "
            "check that the id is right, and no subkey's",
            **result,
        )
    return result


def _apt_key(call: Call) -> list[str]:
    return ["apt-key", *(["--keyring", call["keyring"]] if call["keyring"] else [])]


def _key(call: Call) -> bytes | None:
    """The key itself, from wherever the task has it."""
    if call["data"]:
        return str(call["data"]).encode()
    if call["file"]:
        try:
            with open(os.path.expanduser(call["file"]), "rb") as stream:
                return stream.read()
        except OSError as error:
            raise Failure(f"Unable to extract key from '{call['file']}': {error.strerror}") from error
    if not call["url"]:
        return None
    try:
        with opened(call["url"], validate_certs=call["validate_certs"]) as response:
            if response.status >= 400:
                raise Failure(f"Failed to download key at {call['url']}: {response.status} {response.reason}")
            found: bytes = response.read()
            return found
    except OSError as error:
        raise Failure(f"Failed to download key at {call['url']}: {getattr(error, 'reason', error)}") from error


def _first(call: Call, key: bytes | None) -> str:
    if key is None:
        if call["keyserver"]:
            raise Failure("Missing key_id, required with keyserver.")
        raise Failure("the task names no key", id=None)
    keys = _identities(call.checked(["gpg", "--batch", "--with-colons", "--show-keys", "-"], input=key).out)
    if not keys:
        raise Failure("Unable to extract key: gpg finds none in it")
    return keys[0]


def _identity(text: str) -> str:
    whole = re.sub("^0X", "", text.upper())
    if not re.fullmatch(r"[0-9A-F]{8}|[0-9A-F]{16,}", whole):
        raise Failure("Invalid key_id", id=text)
    return whole


def _trusted(call: Call, *, short: bool) -> list[str]:
    done = call.checked([*_apt_key(call), "adv", "--list-public-keys", "--keyid-format=long", "--with-colons"])
    return [key[-8:] if short else key for key in _identities(done.out)]


def _identities(listed: str) -> list[str]:
    rows = (line.split(":") for line in listed.splitlines())
    return [row[4] for row in rows if row[0] in ("pub", "sub") and len(row) > 4 and row[1] != "e"]
