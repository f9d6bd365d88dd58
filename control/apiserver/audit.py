"""The audit log: one line of JSON for each request, and the id by which a client's answer is found in it.

What is written is an `Event` of audit.k8s.io/v1 at the level Metadata: who asked for what, from where, what the answer
was, and what admission had to say. Health checks and the other end points that are open to everybody are left out.

Invariant: a line is written by one system call at the end of the file, so several servers may share it and whoever
rotates it may truncate it; ids are unique and cost no entropy a request.
Source: "Auditing" in the documentation; apiserver/pkg/audit; apiserver/pkg/endpoints/filters/audit.go.
"""

from __future__ import annotations

import os
from itertools import count
from typing import Any
from urllib.parse import quote

import orjson

from api.runtime import Runtime, micro_timestamp
from control.apiserver.handlers.tokens import user_info
from control.apiserver.identity import User
from control.apiserver.request import Request
from control.apiserver.response import Response

HEADER = "Audit-Id"
DECISION, REASON = "authorization.k8s.io/decision", "authorization.k8s.io/reason"
_LONGEST_ID = 64


class AuditIds:
    """Ids in the form of a UUID: random for this process, then counted."""

    def __init__(self, runtime: Runtime) -> None:
        self._prefix = runtime.uuid()[:24]
        self._numbers = count(int(runtime.uuid()[24:], 16))

    def of(self, request: Request) -> str:
        """The id that the request brings along, else a new one."""
        given = request.header(HEADER)
        return given[:_LONGEST_ID] if given else f"{self._prefix}{next(self._numbers) & 0xFFFFFFFFFFFF:012x}"


class AuditLog:
    """A file of events."""

    def __init__(self, path: str, runtime: Runtime) -> None:
        """Raises OSError if the file cannot be opened."""
        self._runtime = runtime
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def record(self, request: Request, response: Response, audit_id: str, asked_by: User, received: float) -> None:
        """Write down a request that has been answered, or whose stream begins; `asked_by` is who authenticated."""
        event = _event(request, response, audit_id, asked_by)
        event["requestReceivedTimestamp"] = micro_timestamp(received)
        event["stageTimestamp"] = micro_timestamp(self._runtime.time())
        if request.annotations:
            event["annotations"] = request.annotations
        os.write(self._file, orjson.dumps(event, option=orjson.OPT_APPEND_NEWLINE))


def _event(request: Request, response: Response, audit_id: str, asked_by: User) -> dict[str, Any]:
    environ, query = request.environ, request.environ.get("QUERY_STRING")
    whole = isinstance(response.body, bytes | list)
    forwarded = [one.strip() for one in request.header("X-Forwarded-For").split(",") if one.strip()]
    event: dict[str, Any] = {
        "kind": "Event",
        "apiVersion": "audit.k8s.io/v1",
        "level": "Metadata",
        "auditID": audit_id,
        "stage": "ResponseComplete" if whole else "ResponseStarted",
        "requestURI": quote(request.path) + (f"?{query}" if query else ""),
        "verb": request.info.verb,
        "user": user_info(asked_by),
        "sourceIPs": [*forwarded, str(environ.get("REMOTE_ADDR") or "")],
        "userAgent": request.header("User-Agent"),
    }
    if request.user is not asked_by:
        event["impersonatedUser"] = user_info(request.user)
    if request.info.is_resource:
        event["objectRef"] = _reference(request)
    event["responseStatus"] = _status(response)
    return event


def _reference(request: Request) -> dict[str, str]:
    info = request.info
    fields = (
        ("resource", info.resource), ("namespace", info.namespace), ("name", info.name), ("apiGroup", info.group),
        ("apiVersion", info.version), ("subresource", info.subresource),
    )  # fmt: skip
    return {name: value for name, value in fields if value}


def _status(response: Response) -> dict[str, Any]:
    """The code; of a refusal also what it said."""
    status: dict[str, Any] = {"metadata": {}, "code": response.status}
    if response.status >= 400 and isinstance(response.body, bytes) and response.body.startswith(b"{"):
        body = orjson.loads(response.body)
        status |= {name: body[name] for name in ("status", "message", "reason", "details") if body.get(name)}
    return status
