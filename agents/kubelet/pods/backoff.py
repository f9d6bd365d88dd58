"""How long a container that keeps ending waits before its next start, and a pod that cannot start for its next try.

Source: client-go's flowcontrol.Backoff as the kubelet uses it: 10 s doubling to 5 min, forgotten after twice
the longest delay without a failure.
"""

from __future__ import annotations

from agents.kubelet.pods.view import BackOff

FIRST = 10.0
LONGEST = 300.0
_FIRST_PAUSE, _LONGEST_PAUSE = 2.0, 16.0


def remaining(backoff: BackOff | None, finished: float, now: float) -> float:
    """Seconds still to wait after an end at `finished`; 0 if it may start now."""
    if backoff is None or finished - backoff.updated > 2 * LONGEST:
        return 0.0
    # A clock that was set back must not make anybody wait for longer than the delay.
    return min(backoff.delay, max(0.0, finished + backoff.delay - now))


def following(backoff: BackOff | None, finished: float, now: float) -> BackOff:
    """The back-off after one more start, of a container whose last attempt ended at `finished`."""
    if backoff is None or finished - backoff.updated > 2 * LONGEST:
        return BackOff(FIRST, now)
    return BackOff(min(LONGEST, backoff.delay * 2), now)


def pause(before: float) -> float:
    """Seconds until the next try of what keeps a pod as a whole from starting; `before` was the pause before it."""
    return min(_LONGEST_PAUSE, before * 2 or _FIRST_PAUSE)
