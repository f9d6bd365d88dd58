"""The line that says what is still running: for how long, on which hosts, and how far their transfers are.

Invariant: pure.
"""

from __future__ import annotations

from collections.abc import Mapping

_MOST_HOSTS = 6


def pending(waited: Mapping[str, float], moved: Mapping[str, tuple[int, int]]) -> str:
    """The line for hosts that have waited so many seconds and moved so many bytes, of how many if that is known."""
    named = [_host(host, moved.get(host)) for host in sorted(waited)[:_MOST_HOSTS]]
    more = f" and {len(waited) - _MOST_HOSTS} more" if len(waited) > _MOST_HOSTS else ""
    return f"… running {max(waited.values()):.0f} s on {', '.join(named)}{more}"


def _host(name: str, moved: tuple[int, int] | None) -> str:
    if moved is None:
        return name
    done, size = moved
    return f"{name} ({done * 100 // size} % of {_megabytes(size)})" if size else f"{name} ({_megabytes(done)})"


def _megabytes(count: int) -> str:
    return f"{count / 1e6:.1f} MB"
