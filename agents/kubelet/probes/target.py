"""Whom probes and hooks ask, what comes back, and how failures to reach somebody are worded.

Invariant: pure; the words are those that users know from the original.
"""

from __future__ import annotations

from dataclasses import dataclass

import urllib3

from api.objects import Object


@dataclass(frozen=True, slots=True)
class Answer:
    """How an action went; `text` is what it said. A `warning` is an answer that counts as good and is told anyway."""

    ok: bool
    text: str = ""
    warning: bool = False


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


def cause(error: Exception) -> str:
    """The innermost sentence of a chain of errors, in the words that users know."""
    if isinstance(error, TimeoutError | urllib3.exceptions.TimeoutError):
        return "context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
    innermost: BaseException = error
    while innermost.__cause__ is not None or innermost.__context__ is not None:
        innermost = innermost.__cause__ or innermost.__context__ or innermost
    if isinstance(innermost, ConnectionRefusedError):
        return "connect: connection refused"
    return str(innermost) or innermost.__class__.__name__
