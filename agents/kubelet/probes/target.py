"""Whom probes and hooks ask, what comes back, and how failures to reach somebody are worded.

Invariant: pure; the words are those that users know from the original.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

import urllib3

from api.objects import Object


@dataclass(frozen=True, slots=True)
class Answer:
    """How an action went; `text` is what it said. A `warning` is an answer that counts as good and is told anyway.

    `unknown` says that the question was never put, so that it tells nothing of the container.
    """

    ok: bool
    text: str = ""
    warning: bool = False
    unknown: bool = False


@dataclass(frozen=True, slots=True)
class Target:
    """The container that is asked, and the pod's address (the node's, on the node's network)."""

    container_id: str
    address: str
    spec: Object


def resolve_port(port: object, container: Object) -> int | None:
    """A port's number; a name is looked up among the container's ports."""
    if isinstance(port, int):
        return port
    text = str(port)
    if text.isdigit():
        return int(text)
    return next(
        (int(entry["containerPort"]) for entry in container.get("ports") or [] if entry.get("name") == text), None
    )


def bracketed(host: str) -> str:
    """A host as it stands before a port."""
    return f"[{host}]" if ":" in host else host


def cause(error: Exception, peer: str) -> str:
    """The innermost sentence of a chain of errors of a request to `peer`, in the words that users know."""
    innermost: BaseException = error
    while innermost.__cause__ is not None or innermost.__context__ is not None:
        innermost = innermost.__cause__ or innermost.__context__ or innermost
    connecting = isinstance(error, urllib3.exceptions.NewConnectionError) or innermost is error
    if isinstance(innermost, OSError) and innermost.errno and connecting:
        return f"dial tcp {peer}: connect: {os.strerror(innermost.errno).lower()}"
    if isinstance(error, urllib3.exceptions.TimeoutError):
        return "context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
    if isinstance(error, TimeoutError):
        return f"dial tcp {peer}: i/o timeout"
    return str(innermost) or innermost.__class__.__name__
