"""Asks a webhook: a JSON text to a URL, or to a Service by one of its ready endpoints.

Endpoints rather than the Service's address, since the control host need not run the proxy of a node.

Invariant: the other side has proven by its certificate that it is the host, or `NAME.NAMESPACE.svc`, that was named.
Source: admissionregistration.k8s.io/v1 WebhookClientConfig; apiserver/pkg/util/webhook/client.go.
"""

from __future__ import annotations

import base64
import binascii
import math
import ssl
from collections.abc import Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

import orjson
import urllib3

from api import errors
from api.runtime import Runtime
from control.apiserver.cache import Cache
from control.apiserver.proxy.services import service_address

_POOLS = 64
_CONNECTIONS = 16
_LARGEST_ANSWER = 8 * 1024 * 1024


class HookFailed(Exception):
    """No answer came, or one that cannot be read; the text says why."""


class Hooks:
    """Calls webhooks over kept-alive connections."""

    def __init__(self, cache: Cache, runtime: Runtime) -> None:
        self._cache = cache
        self.runtime = runtime
        self._pool = lru_cache(_POOLS)(_connection_pool)

    def call(self, config: Mapping[str, Any], body: Any, timeout: float) -> Any:
        """The decoded answer to a JSON body. Raises HookFailed."""
        url = f"{address_of(config)}?timeout={math.ceil(timeout)}s"
        try:
            status, content = self._post(config, url, orjson.dumps(body), timeout)
        except (urllib3.exceptions.HTTPError, OSError, errors.ApiError) as error:
            raise HookFailed(f'Post "{url}": {_reason(error, timeout)}') from error
        if status != 200:
            text = content.decode("utf-8", "replace").strip()
            raise HookFailed(text or "the server rejected our request for an unknown reason")
        try:
            return orjson.loads(content)
        except orjson.JSONDecodeError as error:
            raise HookFailed(f"couldn't get version/kind; json parse error: {error}") from error

    def _post(self, config: Mapping[str, Any], url: str, body: bytes, timeout: float) -> tuple[int, bytes]:
        parts = urlsplit(url)
        name = host = parts.hostname or ""
        port = parts.port or 443
        service = config.get("service")
        if service:
            number = int(service.get("port") or 443)
            host, port = service_address(self._cache, self.runtime, service["namespace"], service["name"], str(number))
        pool = self._pool(host, port, name, str(config.get("caBundle") or ""))
        answer = pool.urlopen(
            "POST",
            f"{parts.path or '/'}?{parts.query}",
            body=body,
            headers={"Content-Type": "application/json", "Accept": "application/json", "Host": parts.netloc},
            timeout=urllib3.Timeout(total=timeout),
            retries=False,
            redirect=False,
            assert_same_host=False,
            preload_content=False,
        )
        content = answer.read(_LARGEST_ANSWER)
        answer.release_conn()
        return answer.status, content


def address_of(config: Mapping[str, Any]) -> str:
    """The URL of a webhook, as messages name it."""
    service = config.get("service")
    if not service:
        return str(config.get("url") or "")
    path = str(service.get("path") or "/")
    path = path if path.startswith("/") else f"/{path}"
    return f"https://{service['name']}.{service['namespace']}.svc:{service.get('port') or 443}{path}"


def _connection_pool(host: str, port: int, name: str, ca_bundle: str) -> urllib3.HTTPSConnectionPool:
    return urllib3.HTTPSConnectionPool(
        host,
        port,
        ssl_context=_context(ca_bundle),
        server_hostname=name,
        assert_hostname=name,
        maxsize=_CONNECTIONS,
        block=False,
    )


def _context(ca_bundle: str) -> ssl.SSLContext:
    """TLS that trusts the bundle, or the system's authorities without one. Raises SSLError for a bad bundle."""
    if not ca_bundle:
        return ssl.create_default_context()
    try:
        return ssl.create_default_context(cadata=base64.b64decode(ca_bundle).decode("ascii"))
    except (binascii.Error, UnicodeDecodeError, ValueError) as error:
        raise ssl.SSLError(f"unable to load root certificates: {error}") from error


def _reason(error: Exception, timeout: float) -> str:
    if isinstance(error, urllib3.exceptions.NewConnectionError) and isinstance(error.__cause__, OSError):
        return f"dial tcp: connect: {str(error.__cause__.strerror).lower()}"
    if isinstance(error, urllib3.exceptions.TimeoutError):
        return "context deadline exceeded"
    if isinstance(error, errors.ApiError):
        return error.message
    return str(error)
