"""Downloads a file."""

from __future__ import annotations

import base64
import email.utils
import os
import time
import urllib.parse
from typing import Any

from playbooks.engine.helper.call import Call, Failure
from playbooks.engine.helper.options import FILE_OPTIONS, Option
from playbooks.modules import _attributes, _files
from playbooks.modules._download import download, opened

OPTIONS = {
    "url": Option(required=True),
    "dest": Option("path", required=True),
    "checksum": Option(default=""),
    "force": Option("bool", default=False),
    "backup": Option("bool", default=False),
    "headers": Option("dict", default={}),
    "timeout": Option("int", default=10),
    "validate_certs": Option("bool", default=True),
    "url_username": Option(aliases=("username",)),
    "url_password": Option(aliases=("password",), secret=True),
    "force_basic_auth": Option("bool", default=False),
    "http_agent": Option(default="ansible-httpget"),
    "tmp_dest": Option("path"),
    "use_proxy": Option("bool", default=True),
    "client_cert": Option("path"),
    "client_key": Option("path"),
    **FILE_OPTIONS,
}


def run(call: Call) -> dict[str, Any]:
    """Ansible's result of `get_url`."""
    started = time.monotonic()
    dest = os.path.expanduser(call["dest"])
    if os.path.isdir(dest):
        dest = os.path.join(dest, os.path.basename(urllib.parse.urlparse(call["url"]).path) or "index.html")
    result: dict[str, Any] = {"url": call["url"], "dest": dest, "changed": False}
    algorithm, expected = _expected(call)
    there = os.path.exists(dest)
    # Without a hash to compare with, the server is asked whether it has something newer.
    conditional = there and not expected and not call["force"]
    if (there and expected and _files.digest(dest, algorithm) == expected) or (conditional and call.check):
        changed = _attributes.apply(call, dest)
        what = "file already exists but file attributes changed" if changed else "file already exists"
        return {**result, "changed": changed, "msg": what, "status_code": 304}
    if call.check:
        return {**result, "changed": True, "msg": "would be downloaded"}
    since = os.path.getmtime(dest) if conditional else None
    return {**_fetch(call, dest, algorithm, expected, result, since), "elapsed": int(time.monotonic() - started)}


def _expected(call: Call) -> tuple[str, str]:
    """The algorithm and the hash of `checksum`, which may name a file of sums."""
    if not call["checksum"]:
        return "sha1", ""
    algorithm, _, value = call["checksum"].partition(":")
    if not value:
        raise Failure("The checksum parameter has to be in format <algorithm>:<checksum>")
    if "://" in value:
        name = os.path.basename(urllib.parse.urlparse(call["url"]).path)
        with opened(value, timeout=call["timeout"], validate_certs=call["validate_certs"]) as response:
            lines = [line.split() for line in response.read().decode().splitlines() if line.strip()]
        sums = {words[-1].lstrip("*./"): words[0] for words in lines}
        value = lines[0][0] if len(lines) == 1 and len(lines[0]) == 1 else sums.get(name, "")
        if not value:
            raise Failure(f"Unable to find a checksum for file '{name}' in '{call['checksum']}'")
    return algorithm, value.strip().lower()


def _fetch(
    call: Call, dest: str, algorithm: str, expected: str, result: dict[str, Any], since: float | None
) -> dict[str, Any]:
    headers = {"User-Agent": call["http_agent"], **{key: str(value) for key, value in call["headers"].items()}}
    if call["url_username"] is not None:
        pair = f"{call['url_username']}:{call['url_password'] or ''}"
        headers["Authorization"] = "Basic " + base64.b64encode(pair.encode()).decode()
    if since is not None:
        headers["If-Modified-Since"] = email.utils.formatdate(since, usegmt=True)
    descriptor, name = _files.temporary(dest)
    os.close(descriptor)
    try:
        response = download(
            call["url"], name, headers=headers, timeout=call["timeout"], validate_certs=call["validate_certs"],
            use_proxy=call["use_proxy"], client_cert=call["client_cert"], client_key=call["client_key"],
        )  # fmt: skip
        if response.status == 304:
            changed = _attributes.apply(call, dest)
            what = f"HTTP Error 304: {response.reason}"
            return {**result, "changed": changed, "msg": what, "status_code": 304}
        found = _files.digest(name, algorithm)
        if expected and found != expected:
            raise Failure(f"The checksum for {dest} did not match {expected}; it was {found}.", **result)
        result["checksum_src"] = _files.digest(name)
        result["checksum_dest"] = _files.digest(dest) or None
        changed = result["checksum_dest"] != result["checksum_src"]
        if changed:
            if call["backup"] and os.path.exists(dest):
                result["backup_file"] = _files.backup(dest)
            _files.replace(name, dest)
    finally:
        if os.path.exists(name):
            os.unlink(name)
    changed = _attributes.apply(call, dest) or changed
    # A file: or ftp: address has no status.
    code = response.status if call["url"].lower().startswith("http") else None
    result.update(changed=changed, status_code=code, msg=f"OK ({os.path.getsize(dest)} bytes)")
    return result
