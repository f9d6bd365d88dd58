"""Downloads a file."""

from __future__ import annotations

import base64
import contextlib
import email.message
import email.utils
import os
import re
import tempfile
import time
import urllib.parse
from typing import Any, Iterator

from playbooks.engine.helper.call import Call, Failure
from playbooks.engine.helper.options import FILE_OPTIONS, Option
from playbooks.modules import _attributes, _files
from playbooks.modules._download import WEB_OPTIONS, masked, opened, save, web_settings

OPTIONS = {
    "url": Option(required=True),
    "dest": Option("path", required=True),
    "checksum": Option(default=""),
    "force": Option("bool", default=False),
    "backup": Option("bool", default=False),
    "headers": Option("dict"),
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
    **WEB_OPTIONS,
    **FILE_OPTIONS,
}


def run(call: Call) -> dict[str, Any]:
    """Ansible's result of `get_url`."""
    dest = call["dest"]
    result: dict[str, Any] = {"url": masked(call["url"]), "dest": dest, "changed": False, "elapsed": 0}
    result.update(checksum_src=None, checksum_dest=None)
    algorithm, expected = _expected(call, result)
    there = os.path.exists(dest) and not os.path.isdir(dest)
    same = bool(expected) and there and _hash(dest, algorithm) == expected
    if same and not call["force"]:
        changed = _attributes.apply(call, dest)
        message = "file already exists but file attributes changed" if changed else "file already exists"
        return {**result, "changed": changed, "msg": message}
    # Without a hash to compare with, the server is asked whether it has something newer.
    since = os.path.getmtime(dest) if there and not call["force"] and not (expected and not same) else None
    with _directory(call) as directory:
        return _fetch(call, directory, (algorithm, expected), result, since)


@contextlib.contextmanager
def _directory(call: Call) -> Iterator[str]:
    """Where what comes is kept until it is complete."""
    if call["tmp_dest"]:
        yield call["tmp_dest"]
        return
    with tempfile.TemporaryDirectory(prefix="wherry-download-") as directory:
        yield directory


def _expected(call: Call, result: dict[str, Any]) -> tuple[str, str]:
    """The algorithm and the hash of `checksum`, which may name a file of sums."""
    if not call["checksum"]:
        return "sha1", ""
    algorithm, _, value = call["checksum"].partition(":")
    if not value:
        raise Failure("The checksum parameter has to be in format <algorithm>:<checksum>", **result)
    if "://" in value:
        name, address = os.path.basename(urllib.parse.urlparse(call["url"]).path), value
        with _answer(call, address, "GET", None) as response:
            if response.status != 200:
                reason = f"HTTP Error {response.status}: {response.reason}"
                raise Failure(
                    "Request failed", **{**result, "url": masked(address)}, status_code=response.status, response=reason
                )
            lines = [line.split() for line in response.read().decode("utf-8", "replace").splitlines() if line.strip()]
        sums = {words[-1].lstrip("*./"): words[0] for words in lines}
        value = lines[0][0] if len(lines) == 1 and len(lines[0]) == 1 else sums.get(name, "")
        if not value:
            raise Failure(f"Unable to find a checksum for file '{name}' in '{masked(address)}'")
    value = re.sub(r"\W+", "", value).lower()
    if not re.fullmatch("[0-9a-f]+", value):
        raise Failure("The checksum format is invalid", **result)
    return algorithm, value


def _hash(path: str, algorithm: str) -> str:
    try:
        return _files.digest(path, algorithm)
    except ValueError as error:
        raise Failure(f"Could not hash file '{path}' with algorithm '{algorithm}'") from error


def _answer(call: Call, url: str, method: str, since: float | None) -> Any:
    """The open response to a request with all that the parameters say of one. Raises OSError, Failure."""
    return opened(
        url, method=method, headers=_asked(call, since), timeout=call["timeout"],
        validate_certs=call["validate_certs"], use_proxy=call["use_proxy"], client_cert=call["client_cert"],
        client_key=call["client_key"], **web_settings(call),
    )  # fmt: skip


def _asked(call: Call, since: float | None) -> dict[str, str]:
    """The headers of the request."""
    headers = {"User-Agent": call["http_agent"], **{key: str(value) for key, value in (call["headers"] or {}).items()}}
    if call["url_username"] is not None:
        pair = f"{call['url_username']}:{call['url_password'] or ''}"
        headers["Authorization"] = "Basic " + base64.b64encode(pair.encode()).decode()
    if since is not None:
        headers["If-Modified-Since"] = email.utils.formatdate(since, usegmt=True)
    return headers


def _fetch(
    call: Call, directory: str, wanted: tuple[str, str], result: dict[str, Any], since: float | None
) -> dict[str, Any]:
    started = time.monotonic()
    about = {"url": masked(call["url"]), "dest": call["dest"]}
    try:
        response = _answer(call, call["url"], "HEAD" if call.check else "GET", since)
    except OSError as error:
        raise Failure(f"Request failed: {error}", **about, elapsed=int(time.monotonic() - started)) from error
    with response:
        elapsed = int(time.monotonic() - started)
        if response.status == 304:
            message = f"HTTP Error 304: {response.reason}"
            return {**about, "changed": False, "msg": message, "status_code": 304, "elapsed": elapsed}
        if response.status != 200:
            reason = f"HTTP Error {response.status}: {response.reason}"
            raise Failure("Request failed", status_code=response.status, response=reason, **about, elapsed=elapsed)
        if not os.path.isdir(directory):
            word = "is a file but should be a directory" if os.path.exists(directory) else "directory does not exist"
            raise Failure(f"{directory} {word}.", elapsed=elapsed)
        descriptor, name = tempfile.mkstemp(dir=directory)
        try:
            with os.fdopen(descriptor, "wb") as sink:
                save(response, sink)
            return _place(call, name, wanted, {**result, "elapsed": elapsed, "src": name}, response)
        finally:
            if os.path.exists(name):
                os.unlink(name)


def _named(response: Any) -> str:
    """The name of a file that lands in a directory."""
    header = email.message.Message()
    header["content-disposition"] = response.headers.get("content-disposition", "")
    given = header.get_param("filename", header="content-disposition")
    return os.path.basename(str(given or urllib.parse.urlparse(response.url).path)) or "index.html"


def _place(call: Call, name: str, wanted: tuple[str, str], result: dict[str, Any], response: Any) -> dict[str, Any]:
    """Put what came into its place."""
    algorithm, expected = wanted
    dest = result["dest"] = (
        os.path.join(call["dest"], _named(response)) if os.path.isdir(call["dest"]) else call["dest"]
    )
    result["checksum_src"] = _files.digest(name)
    result["checksum_dest"] = _files.digest(dest) or None
    parent = os.path.dirname(dest) or "."
    if not os.path.exists(parent):
        raise Failure(f"Destination {parent} does not exist", **result)
    if not os.access(dest if os.path.exists(dest) else parent, os.W_OK):
        raise Failure(f"Destination {parent} is not writable", **result)
    message = f"OK ({response.headers.get('Content-Length', 'unknown')} bytes)"
    differs = result["checksum_src"] != result["checksum_dest"]
    if call.check:
        return {**result, "changed": differs, "msg": message}
    if expected:
        found = _hash(name, algorithm)
        if found != expected:
            raise Failure(f"The checksum for {name} did not match {expected}; it was {found}.", **result)
    if differs:
        if call["backup"] and os.path.exists(dest):
            result["backup_file"] = _files.backup(dest)
        _files.move(name, dest)
    changed = _attributes.apply(call, dest) or differs
    # A file: or ftp: address has no status.
    code = response.status if call["url"].lower().startswith("http") else None
    return {**result, "changed": changed, "md5sum": _files.digest(dest, "md5"), "status_code": code, "msg": message}
