"""HTTP requests to containers: those of probes, which judge the answer, and those of hooks, which only make them.

Invariant: a request ends within its timeout and leads to no other host than the one that was asked.
Source: kubelet's probe/http (DoHTTPProbe, RedirectChecker) and lifecycle's runHTTPHandler.
"""

from __future__ import annotations

import ssl
from urllib.parse import urljoin, urlsplit

import urllib3

from agents.kubelet.probes.target import Answer, Target, bracketed, cause, resolve_port
from api.objects import Object
from api.runtime import Runtime

_OUTPUT_LIMIT = 10 * 1024
_REDIRECTS = 10
_FOLLOWED = (301, 302, 303, 307, 308)
AGENT = "kube-probe/1.37"


def get(clock: Runtime, handler: Object, target: Target, timeout: float) -> Answer:
    """Well with a status from 200 to 399, after redirects within the host; a redirect elsewhere is a warning."""
    port = resolve_port(handler.get("port"), target.spec)
    if port is None:
        return Answer(False, f"couldn't find port: {handler.get('port')!r}", unknown=True)
    url = _url(handler, target, port, str(handler.get("scheme") or "HTTP").lower())
    headers = {"User-Agent": AGENT, "Accept": "*/*", "Connection": "close"} | _headers(handler)
    try:
        status, body = _follow(clock, url, headers, clock.monotonic() + timeout)
    except (urllib3.exceptions.HTTPError, OSError) as error:
        return Answer(False, f'Get "{url}": {cause(error, urlsplit(url).netloc)}')
    if 200 <= status < 300:
        return Answer(True, body)
    if 300 <= status < 400:
        return Answer(True, f"Probe terminated redirects, Response body: {body}", warning=True)
    return Answer(False, f"HTTP probe failed with statuscode: {status}")


def call(clock: Runtime, handler: Object, target: Target, timeout: float) -> Answer:
    """Well if somebody answers, whatever it is. Who has no TLS although it is asked for is called without."""
    scheme = str(handler.get("scheme") or "HTTP").lower()
    wanted = handler.get("port") or (443 if scheme == "https" else 80)
    port = resolve_port(wanted, target.spec)
    if port is None:
        return Answer(False, f"couldn't find port: {wanted!r}")
    headers = {"User-Agent": AGENT} | _headers(handler)
    deadline = clock.monotonic() + timeout
    try:
        try:
            _request(_url(handler, target, port, scheme), headers, deadline - clock.monotonic())
        except urllib3.exceptions.SSLError as error:
            if "WRONG_VERSION_NUMBER" not in str(error):
                raise
            plain = {name: text for name, text in headers.items() if name.lower() != "authorization"}
            _request(_url(handler, target, port, "http"), plain, deadline - clock.monotonic())
    except (urllib3.exceptions.HTTPError, ssl.SSLError, OSError) as error:
        return Answer(False, cause(error, f"{bracketed(handler.get('host') or target.address)}:{port}"))
    return Answer(True)


def _url(handler: Object, target: Target, port: int, scheme: str) -> str:
    host = handler.get("host") or target.address
    path = handler.get("path") or "/"
    return f"{scheme}://{bracketed(host)}:{port}{path if path.startswith('/') else f'/{path}'}"


def _headers(handler: Object) -> dict[str, str]:
    return {entry["name"]: entry.get("value", "") for entry in handler.get("httpHeaders") or []}


def _follow(clock: Runtime, url: str, headers: dict[str, str], deadline: float) -> tuple[int, str]:
    """Status and body after redirects that stay on the host. Raises HTTPError."""
    first = urlsplit(url).hostname
    for _ in range(_REDIRECTS):
        status, body, location = _request(url, headers, deadline - clock.monotonic())
        following = urljoin(url, location) if location and status in _FOLLOWED else ""
        if not following or urlsplit(following).hostname != first:
            return status, body
        url = following
    raise urllib3.exceptions.HTTPError(f"stopped after {_REDIRECTS} redirects")


def _request(url: str, headers: dict[str, str], seconds: float) -> tuple[int, str, str]:
    """Status, body and where it leads. Certificates are not verified, as the original does not. Raises HTTPError."""
    timeout = max(0.001, seconds)
    with urllib3.PoolManager(num_pools=1, cert_reqs="CERT_NONE", assert_hostname=False) as pool:
        response = pool.request(
            "GET", url, headers=headers, timeout=timeout, retries=False, redirect=False, preload_content=False
        )
        body = response.read(_OUTPUT_LIMIT).decode("utf-8", "replace")
        response.close()
    return response.status, body, response.headers.get("location") or ""
