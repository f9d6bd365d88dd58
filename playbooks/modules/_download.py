"""Fetches a URL to a file, with the standard library."""

from __future__ import annotations

import base64
import gzip
import http.client
import http.cookiejar
import netrc
import os
import re
import shutil
import ssl
import urllib.error
import urllib.parse
import urllib.request
import zlib
from typing import IO, Any, Mapping, Sequence

from playbooks.engine.helper.call import Call, Failure
from playbooks.engine.helper.options import Option

# Of how a request is made, what all modules have that take any.
WEB_OPTIONS = {
    "decompress": Option("bool", default=True),
    "use_netrc": Option("bool", default=True),
    "use_gssapi": Option("bool", default=False),
    "ciphers": Option("list", elements="str"),
    "unredirected_headers": Option("list", default=(), elements="str"),
}


def web_settings(call: Call) -> dict[str, Any]:
    """What `opened` is told of a call's WEB_OPTIONS. Raises Failure for what no host is sure to have."""
    if call["use_gssapi"]:
        raise Failure("use_gssapi: Kerberos is not supported; use url_username and url_password, or a header")
    netrc_file = ""
    if call["use_netrc"]:
        netrc_file = call.environment.get("NETRC") or os.environ.get("NETRC") or os.path.expanduser("~/.netrc")
    return {
        "decompress": call["decompress"],
        "netrc_file": netrc_file,
        "ciphers": tuple(call["ciphers"] or ()),
        "unredirected_headers": tuple(call["unredirected_headers"]),
    }


def opened(
    url: str,
    *,
    data: bytes | None = None,
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
    timeout: float = 30,
    validate_certs: bool = True,
    ca_path: str | None = None,
    client_cert: str | None = None,
    client_key: str | None = None,
    use_proxy: bool = True,
    follow: bool = True,
    unix_socket: str | None = None,
    cookies: http.cookiejar.CookieJar | None = None,
    decompress: bool = False,
    netrc_file: str = "",
    ciphers: Sequence[str] = (),
    unredirected_headers: Sequence[str] = (),
) -> Any:
    """The open response, also of an HTTP error status. Raises OSError when there is no answer.

    Who to be is read from `netrc_file`, if it says so; `unredirected_headers` go to the first address alone.
    """
    context = ssl.create_default_context(cafile=ca_path)
    if ciphers:
        context.set_ciphers(":".join(ciphers))
    if not validate_certs:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if client_cert:
        context.load_cert_chain(client_cert, client_key)
    handlers: list[Any] = [urllib.request.HTTPSHandler(context=context)]
    if cookies is not None:
        handlers.append(urllib.request.HTTPCookieProcessor(cookies))
    if not use_proxy:
        handlers.append(urllib.request.ProxyHandler({}))
    if not follow:
        handlers.append(_Stay())
    if unix_socket:
        from playbooks.modules._unix_http import UnixHandler

        handlers.append(UnixHandler(unix_socket))
    url, from_url = without_user(url)
    sent = {**(_from_netrc(url, netrc_file) if netrc_file else {}), **from_url, **(headers or {})}
    try:
        request = urllib.request.Request(url, data=data, method=method)
    except ValueError as error:
        raise urllib.error.URLError(str(error)) from error
    first_only = {name.lower() for name in unredirected_headers}
    for name, value in sent.items():
        (request.add_unredirected_header if name.lower() in first_only else request.add_header)(name, value)
    try:
        response = urllib.request.build_opener(*handlers).open(request, timeout=timeout)
    except urllib.error.HTTPError as error:
        response = error
    except http.client.HTTPException as error:
        raise urllib.error.URLError(f"{type(error).__name__}: {error}") from error
    if response.code is None:
        # What is no HTTP, as file: or ftp:, has no status; that it opened is a good answer.
        response.code = 200
        if not hasattr(response, "status"):
            # Before Python 3.9 such an answer has none of that name.
            response.status = 200
    packed = response.headers.get("Content-Encoding", "").lower() == "gzip"
    return _Unpacked(response) if decompress and packed else response


def download(url: str, path: str, **options: Any) -> Any:
    """Write what a URL gives to a file; the response. Raises Failure."""
    try:
        with opened(url, **options) as response:
            if response.status >= 400:
                raise Failure(f"Request failed: HTTP Error {response.status}: {response.reason}", url=masked(url))
            with open(path, "wb") as sink:
                save(response, sink)
            return response
    except OSError as error:
        raise Failure(f"Request failed: {getattr(error, 'reason', error)}", url=masked(url)) from error


def save(response: Any, sink: IO[bytes]) -> None:
    """Write an answer's body to a file. Raises OSError if it is damaged, or shorter than it was said to be."""
    try:
        shutil.copyfileobj(response, sink, 1 << 20)
    except http.client.HTTPException as error:
        raise OSError(f"the answer ended too early: {error}") from error
    missing = getattr(response, "length", None)
    if missing:
        raise OSError(f"the answer ended {missing} bytes too early")


def _from_netrc(url: str, path: str) -> dict[str, str]:
    """Who a netrc says to be at that host; nobody if it says nothing, or is not there or not readable."""
    try:
        found = netrc.netrc(path).authenticators(urllib.parse.urlsplit(url).hostname or "")
    except (OSError, netrc.NetrcParseError):
        return {}
    if not found:
        return {}
    return _basic(found[0], found[2] or "")


def _basic(user: str, password: str) -> dict[str, str]:
    return {"Authorization": f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"}


def without_user(url: str) -> tuple[str, dict[str, str]]:
    """An address without the user that it names, and the header that says who that is; ftp has its own way."""
    scheme, _, rest = url.partition("://")
    user, found, _ = re.split("[/?#]", rest, maxsplit=1)[0].rpartition("@")
    if not found or scheme.lower() == "ftp":
        return url, {}
    name, _, password = user.partition(":")
    plain = f"{scheme}://{rest[len(user) + 1 :]}"
    return plain, _basic(urllib.parse.unquote(name), urllib.parse.unquote(password)) if name else {}


def masked(url: str) -> str:
    """An address as results tell it: of a user and password in it only that they are there."""
    scheme, _, rest = url.partition("://")
    user, found, _ = re.split("[/?#]", rest, maxsplit=1)[0].rpartition("@")
    if not found or user in ("", ":"):
        return url
    hidden = "****:****" if user.partition(":")[2] else "****"
    return f"{scheme}://{hidden}@{rest[len(user) + 1 :]}"


class _Unpacked(gzip.GzipFile):
    """A response whose body was packed, and is read unpacked."""

    def __init__(self, response: Any) -> None:
        super().__init__(fileobj=response)
        self._response = response
        self.headers, self.status, self.reason = response.headers, response.status, response.reason
        self.url = response.url

    def read(self, size: int | None = -1) -> bytes:
        """Some of what was packed. Raises OSError if it is damaged or ends too early."""
        try:
            return super().read(size)
        except (EOFError, zlib.error) as error:
            raise OSError(f"the packed answer cannot be unpacked: {error}") from error

    def close(self) -> None:
        """The response's connection too."""
        super().close()
        self._response.close()


class _Stay(urllib.request.HTTPRedirectHandler):
    """Gives a redirection as the answer instead of following it."""

    def redirect_request(self, *arguments: Any, **further: Any) -> None:
        """Nowhere."""
        return
