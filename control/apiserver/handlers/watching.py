"""watch: a stream of changes, with bookmarks, from now, from a revision, or after the present state.

Invariant: the body ends properly when its time is over; a client that went away is noticed at the next line or
within a few seconds.
Source: "Kubernetes API Concepts", efficient detection of changes and streaming lists; KEP-3157.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial

import orjson

from api import errors, protobuf
from api.naturals import natural
from api.objects import Object
from api.protobuf.wire import bytes_field
from api.selectors import FieldSelector
from api.validation import fields
from control.apiserver import codec
from control.apiserver.cached import CachedObject, Change, Form
from control.apiserver.endpoint import Endpoint
from control.apiserver.handlers import websocket_watch
from control.apiserver.handlers.forms import partial_metadata, watch_form
from control.apiserver.handlers.reading import MATCH, NOT_OLDER
from control.apiserver.negotiation import PROTOBUF, Accepted, accepted
from control.apiserver.request import Request
from control.apiserver.response import Response
from control.apiserver.selection import Selection, selection
from control.apiserver.server import ApiServer
from control.apiserver.watcher import Offer, Watcher

Bookmark = Callable[..., bytes]
"""(revision, annotations) → the line; the annotations may be left out."""

_SHORTEST_TIMEOUT = 1800
_PROTOBUF_STREAM = f"{PROTOBUF};stream=watch"
_BOOKMARK_SECONDS = 60.0
_POLL_SECONDS = 10.0
_INITIAL_EVENTS_END = {"k8s.io/initial-events-end": "true"}


def watch(server: ApiServer, endpoint: Endpoint, request: Request) -> Response:
    """GET with watch=true."""
    chosen = selection(request, endpoint.entry.resource, endpoint.fields, endpoint.labels)
    asked = accepted(request)
    form = watch_form(server, endpoint, request, asked)
    if endpoint.converts_late:
        chosen, late = chosen.split()
        watcher = Watcher(chosen, server.runtime, late=partial(_converted_line, endpoint, late, form))
    else:
        watcher = Watcher(chosen, server.runtime, form=form)
    initial = _sends_initial_events(request)
    bookmark = partial(bookmark_line, endpoint, asked) if request.flag("allowWatchBookmarks") else None
    timeout = request.number("timeoutSeconds") or 0
    if timeout <= 0:
        timeout = int(server.runtime.random().uniform(_SHORTEST_TIMEOUT, 2 * _SHORTEST_TIMEOUT))
    try:
        _begin(server, endpoint, request, watcher, chosen, initial, bookmark)
    except errors.Expired as error:
        line = b'{"type":"ERROR","object":%b}\n' % orjson.dumps(error.status())
        if websocket_watch.wanted(request):
            return websocket_watch.serve(server.runtime, request, [line], lambda: None)
        if asked.media == PROTOBUF:
            return Response([_frame(line)], content_type=_PROTOBUF_STREAM)
        return Response([line], content_type=_stream_type(request))
    stream = _Stream(server, endpoint, watcher, timeout, bookmark)
    if websocket_watch.wanted(request):
        with closing(stream):
            return websocket_watch.serve(server.runtime, request, stream, watcher.drop)
    if asked.media == PROTOBUF:
        return Response(_Frames(stream), content_type=_PROTOBUF_STREAM)
    return Response(stream, content_type=_stream_type(request))


def _converted_line(endpoint: Endpoint, late: FieldSelector, form: Form | None, change: Change) -> bytes:
    """The line of a change whose objects are selected as the endpoint's version shows them; empty if neither is."""

    def seen(found: CachedObject | None) -> bytes | None:
        text = endpoint.outgoing(found.text) if found else None
        return text if text is not None and endpoint.selects(late, text) else None

    old, new = seen(change.old), seen(change.new)
    text = new if new is not None else old
    if text is None:
        return b""
    kind = "DELETED" if new is None else "ADDED" if old is None else "MODIFIED"
    text = codec.with_revision(text, change.revision) if new is None else text
    return codec.event_line(kind, text if form is None or form == endpoint.outgoing else form(text))


def _stream_type(request: Request) -> str:
    return "application/json;stream=watch" if "stream=watch" in request.header("Accept") else "application/json"


def _begin(
    server: ApiServer,
    endpoint: Endpoint,
    request: Request,
    watcher: Watcher,
    chosen: Selection,
    initial: bool | None,
    bookmark: Bookmark | None,
) -> None:
    """Connect the watcher to the collection, after queueing the present state if that is asked for."""
    text = request.query.get("resourceVersion", "")
    if text and natural(text) is None:
        raise errors.BadRequest(f'Invalid value: "{text}": strconv.ParseUint: parsing "{text}": invalid syntax')
    if not text:
        server.cache.catch_up()
    elif text != "0" and initial is not False:
        server.cache.wait(int(text))
    with server.cache.lock():
        revision = server.cache.revision
        if initial or (initial is None and text in ("", "0")):
            for found in endpoint.collection.select(chosen.namespace):
                watcher.push_present(Change(found.revision, None, found))
            if initial and bookmark:
                watcher.push_line(bookmark(revision, _INITIAL_EVENTS_END))
            since = revision
        else:
            since = revision if text in ("", "0") else int(text)
        endpoint.collection.add(watcher, since)


def _sends_initial_events(request: Request) -> bool | None:
    """sendInitialEvents, None if absent. Raises Invalid as the original does."""
    present, match = "sendInitialEvents" in request.query, request.query.get(MATCH, "")
    found = []
    if present and match != NOT_OLDER:
        found.append(fields.forbidden(MATCH, f"sendInitialEvents requires setting resourceVersionMatch to {NOT_OLDER}"))
    if match and not present:
        detail = "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"
        found.append(fields.forbidden(MATCH, detail))
    if match not in ("", NOT_OLDER):
        found.append(fields.not_supported(MATCH, match, (NOT_OLDER,)))
    if match and request.query.get("continue"):
        found.append(fields.forbidden(MATCH, "resourceVersionMatch is forbidden when continue is provided"))
    if found:
        raise errors.invalid("ListOptions", "meta.k8s.io", "", found)
    return request.flag("sendInitialEvents") if present else None


def bookmark_line(
    endpoint: Endpoint, form: Accepted, revision: int, annotations: dict[str, str] | None = None
) -> bytes:
    """The line that tells a client how far it has seen, of the kind that its other lines are of."""
    metadata: Object = {"resourceVersion": str(revision), "creationTimestamp": None}
    if annotations:
        metadata["annotations"] = annotations
    resource = endpoint.entry.resource
    obj: Object = {"kind": resource.kind, "apiVersion": resource.api_version, "metadata": metadata}
    if form.convert_to:
        obj = partial_metadata(obj, form.version)
    if form.convert_to == "Table":
        row = {"cells": [], "object": obj}
        table = {"kind": "Table", "apiVersion": obj["apiVersion"], "metadata": {"resourceVersion": str(revision)}}
        obj = table | {"columnDefinitions": None, "rows": [row]}
    return orjson.dumps({"type": "BOOKMARK", "object": obj}, option=orjson.OPT_APPEND_NEWLINE)


class _Stream:
    """The body of a watch; closing it (the WSGI server does) disconnects the watcher."""

    def __init__(
        self, server: ApiServer, endpoint: Endpoint, watcher: Watcher, timeout: int, bookmark: Bookmark | None
    ) -> None:
        self._server = server
        self._endpoint = endpoint
        self._watcher = watcher
        self._bookmark = bookmark
        self._runtime = server.runtime
        self._deadline = self._runtime.monotonic() + timeout
        self._next_bookmark = self._runtime.monotonic() + _BOOKMARK_SECONDS

    def attach(self, offer: Offer) -> None:
        """Let the watcher send at once what it need not queue (the WSGI server calls this)."""
        self._watcher.attach(offer)

    def __iter__(self) -> Iterator[bytes]:
        while True:
            now = self._runtime.monotonic()
            if now >= self._deadline:
                break
            lines = self._watcher.take(min(_POLL_SECONDS, self._deadline - now))
            # Empty ones too: with them the connection sends what was offered to it and did not leave.
            yield lines
            if self._watcher.dropped and not lines:
                return
            if not lines and self._bookmark and self._runtime.monotonic() >= self._next_bookmark:
                self._next_bookmark = self._runtime.monotonic() + _BOOKMARK_SECONDS
                yield self._mark(self._bookmark)
        if self._bookmark:
            yield self._mark(self._bookmark)

    def _mark(self, bookmark: Bookmark) -> bytes:
        """A bookmark behind all lines that were queued up to its revision."""
        with self._server.cache.lock():
            revision = self._server.cache.revision
            lines = self._watcher.take(0)
        return lines + bookmark(revision)

    def close(self) -> None:
        """Disconnect."""
        with self._server.cache.lock():
            self._endpoint.collection.discard(self._watcher)


class _Frames:
    """A watch for a client that takes nothing but protobuf: each line becomes a message behind its length."""

    def __init__(self, stream: _Stream) -> None:
        self._stream = stream

    def __iter__(self) -> Iterator[bytes]:
        for lines in self._stream:
            yield b"".join(map(_frame, lines.splitlines()))

    def close(self) -> None:
        """Disconnect."""
        self._stream.close()


def _frame(line: bytes) -> bytes:
    """A WatchEvent of meta/v1, whose object is a RawExtension."""
    event = orjson.loads(line)
    raw = bytes_field(1, protobuf.encode(event["object"]))
    message = bytes_field(1, event["type"].encode()) + bytes_field(2, raw)
    return len(message).to_bytes(4, "big") + message
