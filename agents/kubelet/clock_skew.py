"""Notices that this machine's clock and the API server's go apart, from the dates of its answers.

Leases, tokens and certificates are judged by both clocks; when they differ much, things fail in ways that nobody
takes for the clock's fault.

Invariant: nothing is asked for this; an answer that took long says nothing.
Source: RFC 9110, Date.
"""

from __future__ import annotations

from email.utils import parsedate_to_datetime

from api.runtime import Runtime
from api.transport import Request, Response, Transport

TOLERATED = 5.0
_QUICK = 2.0
# The header has whole seconds.
_RESOLUTION = 0.5


class DatedTransport:
    """Sends by another transport and keeps `skew`: how many seconds the server's clock is ahead of this one."""

    def __init__(self, inner: Transport, clock: Runtime) -> None:
        self._inner = inner
        self._clock = clock
        self.skew = 0.0

    def send(self, request: Request, *, timeout: float | None = 30.0, stream: bool = False) -> Response:
        """The answer, as the inner transport gives it."""
        began, before = self._clock.monotonic(), self._clock.time()
        response = self._inner.send(request, timeout=timeout, stream=stream)
        took = self._clock.monotonic() - began
        date = {name.lower(): value for name, value in response.headers.items()}.get("date")
        if date and took < _QUICK:
            self._note(date, before + took / 2)
        return response

    def _note(self, date: str, here: float) -> None:
        try:
            there = parsedate_to_datetime(date).timestamp() + _RESOLUTION
        except ValueError:
            return
        self.skew = there - here


def sentence(skew: float) -> str:
    """What users are told of a skew, "" for one that may be."""
    if abs(skew) <= TOLERATED:
        return ""
    direction = "behind" if skew > 0 else "ahead of"
    return (
        f"the clock of this node is {abs(skew):.0f} s {direction} the API server's: leases, tokens and certificates "
        "are judged by both, so set the time of both machines"
    )
