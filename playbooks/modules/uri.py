"""Asks a web service."""

from __future__ import annotations

import base64
import email.utils
import http.client
import http.cookiejar
import json
import os
import time
import urllib.parse
from typing import Any

from playbooks.engine.helper.call import Call, Failure
from playbooks.engine.helper.options import FILE_OPTIONS, Option
from playbooks.modules import _attributes, _files, _multipart
from playbooks.modules._download import WEB_OPTIONS, masked, opened, web_settings, without_user

OPTIONS = {
    "url": Option(required=True),
    "method": Option(default="GET"),
    "body": Option("raw"),
    "body_format": Option(default="raw", choices=("form-urlencoded", "json", "raw", "form-multipart")),
    "headers": Option("dict", default={}),
    "status_code": Option("list", default=(200,), elements="int"),
    "return_content": Option("bool", default=False),
    "timeout": Option("int", default=30),
    "validate_certs": Option("bool", default=True),
    "ca_path": Option("path"),
    "client_cert": Option("path"),
    "client_key": Option("path"),
    "url_username": Option(aliases=("user",)),
    "url_password": Option(aliases=("password",), secret=True),
    "force_basic_auth": Option("bool", default=False),
    "follow_redirects": Option(default="safe", choices=("all", "no", "none", "safe", "urllib2", "yes")),
    "creates": Option("path"),
    "removes": Option("path"),
    "dest": Option("path"),
    "src": Option("path"),
    "remote_src": Option("bool", default=False),
    "http_agent": Option(default="ansible-httpget"),
    "use_proxy": Option("bool", default=True),
    "unix_socket": Option("path"),
    "force": Option("bool", default=False),
    **WEB_OPTIONS,
    **FILE_OPTIONS,
}
SUPPORTS_CHECK = False
UNCHECKED = "This action (uri) does not support check mode."


def run(call: Call) -> dict[str, Any]:
    """Ansible's result of `uri`."""
    for name, there in (("creates", True), ("removes", False)):
        if call[name] and os.path.exists(os.path.expanduser(call[name])) is there:
            word = "exists" if there else "does not exist"
            return {"changed": False, "stdout": f"skipped, since '{call[name]}' {word}"}
    if call["src"] and call["body"] is not None:
        raise Failure("parameters are mutually exclusive: body|src")
    settings = web_settings(call)
    started = time.monotonic()
    headers = {"User-Agent": call["http_agent"], **{key: str(value) for key, value in call["headers"].items()}}
    data = _body(call, headers)
    if call["url_username"] is not None:
        pair = f"{call['url_username']}:{call['url_password'] or ''}"
        headers["Authorization"] = "Basic " + base64.b64encode(pair.encode()).decode()
    if call["url"].lower().startswith("file:"):
        # Nothing can be said of it: that it is refused is Ansible's too.
        raise Failure("uri needs an address with a status, as http has; read a file by slurp or get_url", rc=1)
    if call["dest"] and os.path.isfile(call["dest"]) and not call["force"]:
        headers["If-Modified-Since"] = email.utils.formatdate(os.path.getmtime(call["dest"]), usegmt=True)
    cookies = http.cookiejar.CookieJar()
    follow = call["follow_redirects"] not in ("no", "none")
    try:
        with opened(
            call["url"], data=data, method=call["method"].upper(), headers=headers, timeout=call["timeout"],
            validate_certs=call["validate_certs"], ca_path=call["ca_path"], client_cert=call["client_cert"],
            client_key=call["client_key"], use_proxy=call["use_proxy"], follow=follow, unix_socket=call["unix_socket"],
            cookies=cookies, **settings,
        ) as response:  # fmt: skip
            content = response.read()
            result = _describe(response, cookies)
    except (OSError, http.client.HTTPException) as error:
        raise Failure(
            f"Status code was -1 and not {list(call['status_code'])}: Request failed: {error}",
            status=-1,
            url=masked(call["url"]),
            redirected=False,
            elapsed=int(time.monotonic() - started),
        ) from error
    except ValueError as error:
        raise Failure(str(error), status=-1, url=masked(call["url"])) from error
    result["elapsed"] = int(time.monotonic() - started)
    return _judge(call, result, content)


def _describe(response: Any, cookies: http.cookiejar.CookieJar) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, value in response.headers.items():
        name = key.lower().replace("-", "_")
        result[name] = f"{result[name]}, {value}" if name in result else value
    if "location" in result:
        result["location"] = urllib.parse.urljoin(response.url, result["location"])
    reason = f"HTTP Error {response.status}: {response.reason}" if response.status >= 300 else ""
    result.update(
        status=response.status,
        msg=reason or f"OK ({response.headers.get('Content-Length', 'unknown')} bytes)",
        url=response.url,
        redirected=False,
        changed=False,
    )
    if not reason:
        # Of an error's cookies Ansible tells nothing.
        result["cookies"] = {cookie.name: cookie.value for cookie in cookies}
        result["cookies_string"] = "; ".join(f"{cookie.name}={cookie.value}" for cookie in cookies)
    return result


def _judge(call: Call, result: dict[str, Any], content: bytes) -> dict[str, Any]:
    result["redirected"] = result["url"] != without_user(call["url"])[0]
    accepted = [int(code) for code in call["status_code"]]
    text = content.decode("utf-8", "replace")
    if "json" in result.get("content_type", ""):
        try:
            result["json"] = json.loads(text)
        except ValueError:
            result["json_error"] = "the body is not JSON"
    if call["return_content"]:
        result["content"] = text
    elif result["status"] >= 300 and result["status"] in accepted:
        result["body"] = text
    if result["status"] == 304 and call["dest"]:
        result["path"] = call["dest"]
    if result["status"] not in accepted:
        message = f"Status code was {result['status']} and not {accepted}: {result['msg']}"
        raise Failure(message, **{key: value for key, value in result.items() if key != "msg"})
    if call["dest"]:
        _keep(call, result, content)
    return result


def _keep(call: Call, result: dict[str, Any], content: bytes) -> None:
    path = os.path.expanduser(call["dest"])
    if os.path.isdir(path):
        path = os.path.join(path, os.path.basename(urllib.parse.urlparse(call["url"]).path) or "index.html")
    result["path"] = path
    if not os.path.exists(path) or _files.read(path) != content:
        result["changed"] = True
        if not call.check:
            _files.write(call, path, content)
    result["changed"] = _attributes.apply(call, path) or result["changed"]


def _body(call: Call, headers: dict[str, str]) -> bytes | None:
    body = call["body"]
    if call.parameters.get("data") is not None:
        return base64.b64decode(call["data"])
    if call["src"]:
        with open(os.path.expanduser(call["src"]), "rb") as stream:
            return stream.read()
    if body is None:
        return None
    names = {name.lower() for name in headers}
    if call["body_format"] == "json":
        if "content-type" not in names:
            headers["Content-Type"] = "application/json"
        return (body if isinstance(body, str) else json.dumps(body)).encode()
    if call["body_format"] == "form-urlencoded":
        if "content-type" not in names:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        return (body if isinstance(body, str) else _urlencoded(body)).encode()
    if call["body_format"] == "form-multipart":
        return _multipart_body(body, headers)
    return (body if isinstance(body, str) else json.dumps(body)).encode()


def _urlencoded(body: Any) -> str:
    pairs = list(body.items()) if isinstance(body, dict) else body
    try:
        return urllib.parse.urlencode([(key, value) for key, value in pairs], doseq=True)
    except (TypeError, ValueError) as error:
        raise Failure(f"failed to parse body as form_urlencoded: {error}") from error


def _multipart_body(body: Any, headers: dict[str, str]) -> bytes:
    if not isinstance(body, dict):
        raise Failure(f"failed to parse body as form-multipart: Mapping is required, not {type(body).__name__}")
    try:
        kind, data = _multipart.encode(body)
    except (OSError, ValueError) as error:
        raise Failure(f"failed to parse body as form-multipart: {error}") from error
    headers["Content-Type"] = kind
    return data
