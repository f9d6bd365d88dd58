"""The recap, in the words and columns of ansible-playbook, and the timing profile.

Invariant: pure.
"""

from __future__ import annotations

from collections.abc import Mapping

from playbooks.engine.result import Counts

_PROFILED = 20


def recap(counts: Mapping[str, Counts]) -> list[str]:
    """A line a host."""
    width = max(26, *(len(host) for host in counts)) if counts else 26
    return [
        f"{host:<{width}} : ok={found.ok:<4} changed={found.changed:<4} unreachable={found.unreachable:<4} "
        f"failed={found.failed:<4} skipped={found.skipped:<4} rescued={found.rescued:<4} ignored={found.ignored:<4}"
        for host, found in counts.items()
    ]


def profile(spent: Mapping[str, float], total: float) -> list[str]:
    """The tasks that took longest, the slowest host of each counting."""
    slowest = sorted(spent.items(), key=lambda entry: -entry[1])[:_PROFILED]
    return [f"{seconds:8.2f}s  {title}" for title, seconds in slowest] + [f"{total:8.2f}s  in all"]
