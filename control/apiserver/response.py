"""One HTTP answer, and the WSGI form of it.

Invariant: every refusal is a `Status` in JSON (or the form asked for), ending with a newline, but for a path that
nothing serves: that is answered in plain text, as by the original. Large answers are compressed for who takes it.
Source: apiserver/pkg/endpoints/handlers/responsewriters.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from http import HTTPStatus
from itertools import accumulate
from typing import Any

import orjson

from api.errors import ApiError, NotFound

JSON = "application/json"
_PHRASES = {status.value: f"{status.value} {status.phrase}" for status in HTTPStatus}
_LARGE = 128 * 1024
_GZIP = re.compile(r"(?:^|,)\s*gzip\s*(?:;\s*q=(?!0(?:\.0*)?\s*(?:,|$))[^,]*)?\s*(?:,|$)", re.IGNORECASE)
_GZIP_LEVEL, _GZIP_WINDOW = 1, 31
# Characters of warnings that an answer carries, and of one of them if that is too little for all.
_WARNED, _WARNED_ONCE = 4096, 256
_COMMON = [("Cache-Control", "no-cache, private")]

StartResponse = Callable[..., Any]


@dataclass(slots=True)
class Response:
    """Status, body (whole, in the pieces of a list, or an iterable for a stream), media type and further headers."""

    body: bytes | list[bytes] | Iterable[bytes]
    status: int = 200
    content_type: str = JSON
    headers: list[tuple[str, str]] = field(default_factory=list)

    def send(self, start_response: StartResponse) -> Iterable[bytes]:
        """Answer in the way of WSGI."""
        headers = [("Content-Type", self.content_type), *_COMMON, *self.headers]
        if isinstance(self.body, bytes | list):
            pieces = self.body if isinstance(self.body, list) else [self.body]
            headers.append(("Content-Length", str(sum(map(len, pieces)))))
            start_response(_PHRASES[self.status], headers)
            return pieces
        # Clients wait for the head of a stream before they begin to read.
        start_response(_PHRASES[self.status], headers)(b"")
        return self.body


def json_response(body: Any, status: int = 200) -> Response:
    """A JSON answer that is not an object of a resource (discovery, a Status)."""
    return Response(orjson.dumps(body, option=orjson.OPT_APPEND_NEWLINE), status)


class PageNotFound(NotFound):
    """Nothing is served at that path."""


def plain_error(text: str, status: int) -> Response:
    """A refusal that is no Status, as Go's HTTP library writes it."""
    headers = [("X-Content-Type-Options", "nosniff")]
    return Response(f"{text}\n".encode(), status, "text/plain; charset=utf-8", headers)


def error_response(error: ApiError) -> Response:
    """The `Status` of a refusal."""
    if isinstance(error, PageNotFound):
        return plain_error("404 page not found", 404)
    response = json_response(error.status(), error.code)
    if error.retry_after_seconds:
        response.headers.append(("Retry-After", str(error.retry_after_seconds)))
    return response


def compress(response: Response, accept_encoding: str) -> None:
    """Pack a large answer with gzip, at little cost, if the client takes that."""
    body = response.body
    if not isinstance(body, bytes | list) or response.status != HTTPStatus.OK or not _GZIP.search(accept_encoding):
        return
    pieces = body if isinstance(body, list) else [body]
    if sum(map(len, pieces)) <= _LARGE or any(name == "Content-Encoding" for name, _ in response.headers):
        return
    packer = zlib.compressobj(_GZIP_LEVEL, zlib.DEFLATED, _GZIP_WINDOW)
    response.body = b"".join([*map(packer.compress, pieces), packer.flush()])
    response.headers += [("Content-Encoding", "gzip"), ("Vary", "Accept-Encoding")]


def warning_headers(warnings: Iterable[str]) -> list[tuple[str, str]]:
    """Warning headers (RFC 7234, code 299), each text once; of very much only the beginnings."""
    quoted = (text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ") for text in _fitting(warnings))
    return [("Warning", f'299 - "{text}"') for text in quoted]


def _fitting(warnings: Iterable[str]) -> list[str]:
    texts = list(dict.fromkeys(warnings))
    if sum(map(len, texts)) <= _WARNED:
        return texts
    shortened = [text[:_WARNED_ONCE] for text in texts]
    before = accumulate(map(len, shortened), initial=0)
    return [text for text, length in zip(shortened, before) if length < _WARNED]
