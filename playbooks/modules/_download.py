"""Fetches a URL to a file, with the standard library."""

from __future__ import annotations

import http.cookiejar
import shutil
import ssl
import urllib.error
import urllib.request
from typing import Any, Mapping

from playbooks.engine.helper.call import Failure
from playbooks.engine.helper.options import Option

# Of how a request is made, what the standard library does by itself or does not offer.
WEB_OPTIONS = {
    "decompress": Option("bool", default=True),
    "use_netrc": Option("bool", default=True),
    "use_gssapi": Option("bool", default=False),
    "ciphers": Option("list", elements="str"),
    "unredirected_headers": Option("list", default=(), elements="str"),
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
) -> Any:
    """The open response, also of an HTTP error status. Raises OSError when there is no answer."""
    context = ssl.create_default_context(cafile=ca_path)
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
    request = urllib.request.Request(url, data=data, headers=dict(headers or {}), method=method)
    try:
        response = urllib.request.build_opener(*handlers).open(request, timeout=timeout)
    except urllib.error.HTTPError as error:
        return error
    if response.status is None:
        # What is no HTTP, as file: or ftp:, has no status; that it opened is a good answer.
        response.code = 200
    return response


def download(url: str, path: str, **options: Any) -> Any:
    """Write what a URL gives to a file; the response. Raises Failure."""
    try:
        with opened(url, **options) as response:
            if response.status >= 400:
                raise Failure(f"Request failed: HTTP Error {response.status}: {response.reason}", url=url)
            with open(path, "wb") as sink:
                shutil.copyfileobj(response, sink, 1 << 20)
            return response
    except OSError as error:
        raise Failure(f"Request failed: {getattr(error, 'reason', error)}", url=url) from error


class _Stay(urllib.request.HTTPRedirectHandler):
    """Gives a redirection as the answer instead of following it."""

    def redirect_request(self, *arguments: Any, **further: Any) -> None:
        """Nowhere."""
        return
