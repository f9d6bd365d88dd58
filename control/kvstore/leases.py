"""Leases as values: ids, their seconds, and when each ends on the monotonic clock.

Invariant: a lease ends no earlier than its seconds after the last grant, keep-alive or start of the process.
Source: etcd's lease package: remaining time is not kept across a restart, a lease starts afresh.
"""

from __future__ import annotations

from collections.abc import Mapping

from control.kvstore.store import LeaseNotFound


class Leases:
    """The leases there are."""

    def __init__(self, seconds: Mapping[int, int], now: float) -> None:
        self._seconds = dict(seconds)
        self._deadlines = {lease: now + ttl for lease, ttl in seconds.items()}

    def __contains__(self, lease: object) -> bool:
        return lease in self._seconds

    def add(self, lease: int, seconds: int, now: float) -> None:
        """A lease was granted."""
        self._seconds[lease] = seconds
        self._deadlines[lease] = now + seconds

    def remove(self, lease: int) -> None:
        """A lease was revoked."""
        self._seconds.pop(lease, None)
        self._deadlines.pop(lease, None)

    def keep_alive(self, lease: int, now: float) -> int:
        """Start its time afresh; its seconds. Raises LeaseNotFound."""
        if lease not in self._seconds:
            raise LeaseNotFound("requested lease not found")
        self._deadlines[lease] = now + self._seconds[lease]
        return self._seconds[lease]

    def all(self) -> dict[int, int]:
        """Every lease with its seconds."""
        return dict(self._seconds)

    def expired(self, now: float) -> list[int]:
        """Leases whose time is up."""
        return [lease for lease, deadline in self._deadlines.items() if deadline <= now]

    def next_deadline(self) -> float | None:
        """When the next lease ends, None without leases."""
        return min(self._deadlines.values(), default=None)
