"""Events: what a component tells users about an object, counted instead of repeated.

Invariant: recording an event never fails its caller; an event that cannot be written is logged.
Source: core/v1 Event; what is counted and combined follows client-go's EventCorrelator.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Mapping
from typing import Any

from api.client import Client
from api.errors import ApiError, NotFound
from api.objects import Object, name_of, namespace_of, uid_of
from api.runtime import Runtime, timestamp
from api.similar_events import PREFIX, SimilarEvents
from api.transport import TransportError

log = logging.getLogger(__name__)

_REMEMBERED = 4096
_LONGEST = 1024
# How often to say that events are dropped.
_TELL_SECONDS = 10.0
# Behind the caller: so many at once, then so many a second.
_BURST = 50.0
_RATE = 50.0


class EventRecorder:
    """Writes core/v1 Events as `component` (on `host`, for agents): at once, or behind the caller after `start`."""

    def __init__(self, client: Client, runtime: Runtime, component: str, host: str = "") -> None:
        self._client = client
        self._runtime = runtime
        self._component = component
        self._host = host
        self._seen: dict[tuple[str, ...], tuple[str, int]] = {}
        self._similar = SimilarEvents()
        self._lock = runtime.lock()
        self._arrived = runtime.condition()
        self._waiting: deque[tuple[Mapping[str, Any], str, str, str, str]] = deque()
        self._background = False
        self._dropped = 0
        self._told = float("-inf")

    def normal(self, obj: Mapping[str, Any], reason: str, message: str) -> None:
        """Something went as it should."""
        self.record(obj, "Normal", reason, message)

    def warning(self, obj: Mapping[str, Any], reason: str, message: str) -> None:
        """Something needs a person's eye."""
        self.record(obj, "Warning", reason, message)

    def record(self, obj: Mapping[str, Any], kind: str, reason: str, message: str, field_path: str = "") -> None:
        """Write or count up the event about `obj` (which carries apiVersion and kind)."""
        if not self._background:
            self._record(obj, kind, reason, message, field_path)
            return
        with self._arrived:
            if len(self._waiting) >= _REMEMBERED:
                self._dropped += 1
                self._tell_dropped()
                return
            self._waiting.append((obj, kind, reason, message, field_path))
            self._arrived.notify()

    def _tell_dropped(self) -> None:
        now = self._runtime.monotonic()
        if now - self._told >= _TELL_SECONDS:
            log.warning("%s dropped %d events: too many wait to be written", self._component, self._dropped)
            self._told, self._dropped = now, 0

    def start(self) -> None:
        """From now on until `close`, write in a task of its own, so that a caller never waits for the server."""
        self._background = True
        self._runtime.spawn(f"events-{self._component}", self._drain)

    def close(self) -> None:
        """End the task once what waits is written; later events are written at once again."""
        with self._arrived:
            if self._dropped:
                self._told = float("-inf")
                self._tell_dropped()
            self._background = False
            self._arrived.notify_all()

    def _drain(self) -> None:
        credit, seen = _BURST, self._runtime.monotonic()
        while True:
            with self._arrived:
                while self._background and not self._waiting:
                    self._arrived.wait()
                if not self._waiting:
                    return
                event = self._waiting.popleft()
            now = self._runtime.monotonic()
            credit, seen = min(_BURST, credit + (now - seen) * _RATE), now
            if credit < 1 and self._background:
                # What events tell of must not wait for the telling: in a crowd they are written bit by bit.
                self._runtime.sleep(1 / _RATE)
            credit -= 1
            self._record(*event)

    def _record(self, obj: Mapping[str, Any], kind: str, reason: str, message: str, field_path: str) -> None:
        about = (uid_of(obj), str(obj.get("kind")), namespace_of(obj), name_of(obj), kind, reason)
        namespace = namespace_of(obj) or "default"
        with self._lock:
            combined = self._similar.is_one_too_many(about, message, self._runtime.monotonic())
            identity = about if combined else (*about, message[:_LONGEST], field_path)
            message = f"{PREFIX if combined else ''}{message}"[:_LONGEST]
            name, count = self._seen.pop(identity, ("", 0))
        try:
            name = self._count_up(name, namespace, count + 1, message) if name else ""
            if not name:
                count = 0
                name = self._write(obj, namespace, kind, reason, message, field_path)
        except (ApiError, TransportError) as error:
            log.info("the event %s on %s/%s was not written: %s", reason, namespace, name_of(obj), error)
            return
        with self._lock:
            self._seen[identity] = (name, count + 1)
            if len(self._seen) > _REMEMBERED:
                self._seen.pop(next(iter(self._seen)))

    def _count_up(self, name: str, namespace: str, count: int, message: str) -> str:
        patch = {"count": count, "lastTimestamp": timestamp(self._runtime.time()), "message": message}
        try:
            self._client.patch("events", name, patch, namespace)
        except NotFound:
            return ""
        return name

    def _write(
        self, obj: Mapping[str, Any], namespace: str, kind: str, reason: str, message: str, field_path: str
    ) -> str:
        now = timestamp(self._runtime.time())
        involved: Object = {
            "apiVersion": obj.get("apiVersion", "v1"),
            "kind": obj.get("kind", ""),
            "name": name_of(obj),
            "uid": uid_of(obj),
            "resourceVersion": obj["metadata"].get("resourceVersion", ""),
        }
        if namespace_of(obj):
            involved["namespace"] = namespace_of(obj)
        if field_path:
            involved["fieldPath"] = field_path
        source = {"component": self._component} | ({"host": self._host} if self._host else {})
        suffix = format(self._runtime.random().getrandbits(64), "016x")
        event: Object = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": f"{name_of(obj)}.{suffix}", "namespace": namespace},
            "involvedObject": involved,
            "type": kind,
            "reason": reason,
            "message": message,
            "source": source,
            "reportingComponent": self._component,
            "reportingInstance": self._host,
            "count": 1,
            "firstTimestamp": now,
            "lastTimestamp": now,
        }
        return name_of(self._client.create("events", event))
