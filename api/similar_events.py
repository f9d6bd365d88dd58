"""When many events differ in their words alone, they become one that tells the last of them.

A sentence with an address or a number of its own each time would otherwise fill the store with events of one cause.

Invariant: of an object, a reason and a kind at most `MOST` sentences stand as events of their own, and what comes after
is told by one more, until nothing has come for `QUIET` seconds. Pure: the clock's time is handed in.
Source: client-go, tools/record/events_cache.go (EventAggregator).
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field

MOST = 9
QUIET = 600.0
PREFIX = "(combined from similar events): "
_REMEMBERED = 4096


@dataclass(slots=True)
class _Group:
    # Hashes, as messages may be long.
    messages: set[int] = field(default_factory=set)
    last: float = 0.0


class SimilarEvents:
    """What was said of late, by everything but the words."""

    def __init__(self) -> None:
        self._groups: dict[Hashable, _Group] = {}

    def is_one_too_many(self, group: Hashable, message: str, now: float) -> bool:
        """Whether an event shall be told as one of many; `now` in seconds."""
        known = self._groups.pop(group, None)
        if known is None or now - known.last > QUIET:
            known = _Group()
        known.last = now
        self._groups[group] = known
        if len(self._groups) > _REMEMBERED:
            self._groups.pop(next(iter(self._groups)))
        said = hash(message)
        if said in known.messages:
            return False
        if len(known.messages) >= MOST:
            return True
        known.messages.add(said)
        return False
