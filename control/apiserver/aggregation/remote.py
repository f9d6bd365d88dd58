"""Group versions that an add-on serves, as APIService objects name them.

Invariant: a request for a remote group version goes to its add-on alone, with the user's identity in headers that
only the front proxy's certificate vouches for.
Source: kube-aggregator/pkg/apiserver/handler_proxy.go; apiregistration.k8s.io/v1 APIService.
"""

from __future__ import annotations

import base64
import binascii
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

from api import errors
from api.objects import Object, condition
from api.runtime import Runtime
from control.apiserver.cache import Cache
from control.apiserver.cached import CachedObject
from control.apiserver.identity import User
from control.apiserver.proxy.backend import Target, forward
from control.apiserver.proxy.services import service_address
from control.apiserver.request import Request
from control.apiserver.response import Response, plain_error

GROUP, PLURAL = "apiregistration.k8s.io", "apiservices"


@dataclass(slots=True)
class Told:
    """What a remote group version told of itself: `resources` are those of its APIResourceList, `document` is its
    OpenAPI document of version 2, with its `digest`, and `link` where its one of version 3 is. `asked` is when."""

    resources: list[Object] = field(default_factory=list)
    document: Object | None = None
    digest: str = ""
    link: str = ""
    asked: float | None = None


@dataclass(slots=True)
class Remote:
    """One remote group version."""

    name: str
    spec: Mapping[str, Any]
    available: bool
    told: Told

    @property
    def resources(self) -> list[Object]:
        """Those of its APIResourceList, once it has been asked for it."""
        return self.told.resources

    @property
    def group(self) -> str:
        """The API group."""
        return str(self.spec.get("group") or "")

    @property
    def version(self) -> str:
        """The version."""
        return str(self.spec["version"])


class Aggregator:
    """The remote group versions, kept true by the watch cache."""

    def __init__(self, cache: Cache, runtime: Runtime, pki_directory: Path | None) -> None:
        self._cache = cache
        self._runtime = runtime
        self._pki_directory = pki_directory
        self._remotes: dict[tuple[str, str], Remote] = {}
        self._told: dict[str, Told] = {}
        self._listeners: list[Callable[[], None]] = []
        self._context = lru_cache(64)(self._make_context)
        cache.collection(GROUP, PLURAL).observe(self._changed)

    def _changed(self, old: CachedObject | None, new: CachedObject | None) -> None:
        before = set(self._remotes)
        for one in (old, new):
            if one is not None:
                version, _, group = one.key.partition(".")
                self._remotes.pop((group, version), None)
        obj = new.object() if new is not None else {"spec": {}}
        if new is not None and obj["spec"].get("service"):
            state = condition(obj, "Available") or {}
            told = self._told.setdefault(new.key, Told())
            made = Remote(new.key, obj["spec"], state.get("status") == "True", told)
            self._remotes[made.group, made.version] = made
        elif old is not None:
            self._told.pop(old.key, None)
        if set(self._remotes) != before:
            self.described()

    def listen(self, listener: Callable[[], None]) -> None:
        """Call `listener` after there are others, or what they told of themselves has changed."""
        self._listeners.append(listener)

    def described(self) -> None:
        """There are others, or something that they told has changed."""
        for listener in self._listeners:
            listener()

    def remotes(self) -> list[Remote]:
        """All of them, those of high priority first."""

        def order(remote: Remote) -> tuple[int, int]:
            spec = remote.spec
            return -int(spec.get("groupPriorityMinimum") or 0), -int(spec.get("versionPriority") or 0)

        return sorted(self._remotes.values(), key=order)

    def find(self, request: Request) -> Remote | None:
        """The remote group version that a path is about."""
        if not self._remotes:
            return None
        parts = request.path.split("/", 4)
        if len(parts) < 4 or parts[1] != "apis":
            return None
        return self._remotes.get((parts[2], parts[3]))

    def proxy(self, remote: Remote, request: Request) -> Response:
        """Hand a request on; an add-on that cannot be reached is told in plain text, as by the original."""
        if not remote.available:
            return plain_error("service unavailable", 503)
        query = request.environ.get("QUERY_STRING") or ""
        path = quote(request.path, safe="/:@!$&'()*+,;=-._~%") + (f"?{query}" if query else "")
        try:
            return forward(self._runtime, request, self.target(remote, path, request.user))
        except (errors.NotFound, errors.ServiceUnavailable) as error:
            return plain_error(error.message, 503)

    def target(self, remote: Remote, path: str, user: User) -> Target:
        """Where a path of a remote group version is. Raises NotFound, ServiceUnavailable."""
        service = remote.spec["service"]
        namespace, name = str(service["namespace"]), str(service["name"])
        port = str(service.get("port") or 443)
        host, number = service_address(self._cache, self._runtime, namespace, name, port)
        context = self._context(str(remote.spec.get("caBundle") or ""), bool(remote.spec.get("insecureSkipTLSVerify")))
        return Target(host, number, path, context, user_headers(user), f"{name}.{namespace}.svc")

    def _make_context(self, ca_bundle: str, insecure: bool) -> ssl.SSLContext:
        try:
            data = base64.b64decode(ca_bundle).decode("ascii") if ca_bundle else None
            context = ssl.create_default_context(cadata=data)
        except (binascii.Error, ValueError, ssl.SSLError) as error:
            raise errors.ServiceUnavailable(f"unable to load root certificates: {error}") from error
        if insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if self._pki_directory is not None:
            names = ("front-proxy-client.crt", "front-proxy-client.key")
            certificate, key = (self._pki_directory / name for name in names)
            if certificate.exists():
                context.load_cert_chain(certificate, key)
        return context


def user_headers(user: User) -> tuple[tuple[str, str], ...]:
    """The headers by which the front proxy tells who asks."""
    headers = [("X-Remote-User", user.name), ("X-Remote-Uid", user.uid)]
    headers += [("X-Remote-Group", group) for group in user.groups]
    headers += [
        (f"X-Remote-Extra-{quote(key, safe='')}", value) for key, values in user.extra.items() for value in values
    ]
    return tuple((name, value.replace("\r", "").replace("\n", "")) for name, value in headers if value)
