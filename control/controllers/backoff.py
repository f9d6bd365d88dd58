"""How long what failed again is left alone: a second at first, then twice as long each time.

Invariant: the clock is handed in; what has not failed for twice the longest pause begins anew.
Source: client-go's flowcontrol.Backoff.
"""

from __future__ import annotations

_REMEMBERED = 1000


class Backoff:
    """Remembers failures by key; seconds."""

    def __init__(self, first: float, longest: float) -> None:
        self._first, self._longest = first, longest
        # By key: the pause after its latest failure, and when that was.
        self._failures: dict[str, tuple[float, float]] = {}

    def left(self, key: str, now: float) -> float:
        """How much longer it is to be left alone; 0 if it need not be."""
        pause, since = self._failures.get(key, (0.0, now))
        return max(0.0, since + pause - now)

    def failed(self, key: str, now: float) -> None:
        """It failed once more."""
        if len(self._failures) >= _REMEMBERED:
            self._failures = {one: value for one, value in self._failures.items() if not self._forgotten(value, now)}
        known = self._failures.get(key)
        again = known is not None and not self._forgotten(known, now)
        self._failures[key] = (min(known[0] * 2, self._longest) if known and again else self._first, now)

    def _forgotten(self, failure: tuple[float, float], now: float) -> bool:
        return now - failure[1] > 2 * self._longest
