"""One HTTP request as handlers see it, and what its path asks for.

Invariant: parsing a path needs no knowledge of which resources exist; a body is read once and is bounded.
Source: apiserver/pkg/endpoints/request.RequestInfoFactory.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any
from urllib.parse import parse_qs

from api import errors
from api.http1 import BadMessage
from api.names import path_segment_problems
from api.protobuf.special import parse_duration
from api.selectors import FieldSelector
from control.apiserver.identity import ANONYMOUS, User

LARGEST_BODY = 3 * 1024 * 1024
LONG_RUNNING = frozenset({"attach", "exec", "proxy", "log", "portforward"})
"""Subresources whose requests last as long as both sides want."""

_VERBS = {
    "POST": "create",
    "GET": "get",
    "HEAD": "get",
    "PUT": "update",
    "PATCH": "patch",
    "DELETE": "delete",
}
_NAMESPACE_SUBRESOURCES = frozenset({"status", "finalize"})


@dataclass(frozen=True, slots=True)
class RequestInfo:
    """What a path and method ask for. `rest` is what follows the subresource, as proxies need it."""

    verb: str
    group: str = ""
    version: str = ""
    namespace: str = ""
    resource: str = ""
    name: str = ""
    subresource: str = ""
    rest: str = ""

    @property
    def is_resource(self) -> bool:
        """Whether a resource is meant, not a path such as /healthz or /apis."""
        return bool(self.resource)


@lru_cache(maxsize=8192)
def parse_path(method: str, path: str) -> RequestInfo:
    """What a path asks for; `list`, `watch` and `deletecollection` are told apart later, from the query."""
    parts = path.strip("/").split("/")
    verb = _VERBS.get(method, method.lower())
    if parts[0] == "api" and len(parts) > 2:
        group, version, parts = "", parts[1], parts[2:]
    elif parts[0] == "apis" and len(parts) > 3:
        group, version, parts = parts[1], parts[2], parts[3:]
    else:
        return RequestInfo(method.lower())
    if parts[0] == "watch" and len(parts) > 1:
        verb, parts = "watch", parts[1:]
    namespace = ""
    if parts[0] == "namespaces" and len(parts) > 1:
        namespace = parts[1]
        if len(parts) > 2 and parts[2] not in _NAMESPACE_SUBRESOURCES:
            parts = parts[2:]
    name = parts[1] if len(parts) > 1 else ""
    subresource = parts[2] if len(parts) > 2 else ""
    if not name and verb in ("get", "delete"):
        verb = {"get": "list", "delete": "deletecollection"}[verb]
    return RequestInfo(verb, group, version, namespace, parts[0], name, subresource, "/".join(parts[3:]))


class Request:
    """A request under way. `user` is set by authentication; `warnings` become Warning headers.

    `asked_by` is who authenticated, if that is not the user as whom he acts.

    `answer_headers` go along with whatever the answer is; `annotations` are for the audit log.
    """

    def __init__(self, environ: Mapping[str, Any]) -> None:
        self.environ = environ
        self.method: str = environ["REQUEST_METHOD"]
        raw: str = environ["PATH_INFO"]
        self.path = raw if raw.isascii() else raw.encode("latin-1").decode("utf-8", "replace")
        self.info = parse_path(self.method, self.path)
        self.user: User = ANONYMOUS
        self.asked_by: User | None = None
        self.warnings: list[str] = []
        self.annotations: dict[str, str] = {}
        self.answer_headers: tuple[tuple[str, str], ...] = ()
        if not environ.get("QUERY_STRING"):
            # Most requests have none: nothing to be worked out later.
            self.query, self.query_lists = {}, {}
        # A path that says `watch` itself may be that of one object, which no selector is for.
        self._selects = self.info.verb in ("list", "deletecollection")
        if self.info.verb == "list":
            if self.flag("watch"):
                self.info = RequestInfo("watch", *_address(self.info))
            self._name_from_selector()

    def selector(self, name: str) -> str:
        """The text of `fieldSelector` or `labelSelector`, "" if the request is none that selects objects."""
        return self.query.get(name, "") if self._selects else ""

    def _name_from_selector(self) -> None:
        """A list of the one object that metadata.name selects is authorized by that name."""
        text = self.selector("fieldSelector")
        if "metadata.name" not in text:
            return
        with suppress(ValueError):
            name = FieldSelector.parse(text).value_of("metadata.name")
            if name and not path_segment_problems(name):
                info = self.info
                self.info = RequestInfo(info.verb, info.group, info.version, info.namespace, info.resource, name)

    @cached_property
    def query(self) -> dict[str, str]:
        """The first value of each parameter."""
        return {name: values[0] for name, values in self.query_lists.items()}

    @cached_property
    def query_lists(self) -> dict[str, list[str]]:
        """All values of each parameter."""
        text = self.environ.get("QUERY_STRING") or ""
        return parse_qs(text, keep_blank_values=True) if text else {}

    def flag(self, name: str) -> bool:
        """A boolean parameter; present without value means true. Raises BadRequest."""
        return boolean(name, self.query.get(name))

    def number(self, name: str) -> int | None:
        """A whole-number parameter, None if absent or empty. Raises BadRequest."""
        text = self.query.get(name, "")
        if not text:
            return None
        try:
            return int(text)
        except ValueError as error:
            raise errors.BadRequest(f'strconv.ParseInt: parsing "{text}": invalid syntax') from error

    def check_timeout(self) -> None:
        """A `timeout` must be a duration as Go writes them; requests that last have none. Raises BadRequest."""
        text = self.query.get("timeout", "")
        if not text or self.info.verb == "watch" or self.info.subresource in LONG_RUNNING:
            return
        try:
            parse_duration(text)
        except ValueError as error:
            raise errors.BadRequest(f"invalid timeout specified in the request URL - {error}") from error

    def header(self, name: str) -> str:
        """A header's text, "" if absent."""
        value: str = self.environ.get(_header_key(name), "")
        return value

    @property
    def content_type(self) -> str:
        """The body's media type without parameters, in lower case."""
        return str(self.environ.get("CONTENT_TYPE") or "").partition(";")[0].strip().lower()

    @cached_property
    def body(self) -> bytes:
        """The whole body. Raises RequestEntityTooLarge, and BadRequest for one that breaks off."""
        length = self.environ.get("CONTENT_LENGTH") or ""
        if length.isdigit() and int(length) > LARGEST_BODY:
            raise _too_large()
        stream = self.environ["wsgi.input"]
        try:
            if length.isdigit():
                content: bytes = stream.read(int(length))
            elif "chunked" in self.header("Transfer-Encoding").lower():
                content = stream.read(LARGEST_BODY + 1)
            else:
                return b""
        except (OSError, BadMessage) as error:
            raise errors.BadRequest(f"unable to read the body: {error}") from error
        if len(content) > LARGEST_BODY:
            raise _too_large()
        return content


@lru_cache(maxsize=256)
def _header_key(name: str) -> str:
    return "HTTP_" + name.upper().replace("-", "_")


def _address(info: RequestInfo) -> tuple[str, ...]:
    return (info.group, info.version, info.namespace, info.resource, info.name, info.subresource, info.rest)


def boolean(name: str, text: str | None) -> bool:
    """A boolean as query parameters spell it. Only `0` and `false` (and absence) are false, as in the original."""
    return text is not None and text.lower() not in ("false", "0")


def _too_large() -> errors.RequestEntityTooLarge:
    return errors.RequestEntityTooLarge(f"Request entity too large: limit is {LARGEST_BODY}")
