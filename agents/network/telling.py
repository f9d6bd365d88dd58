"""How a repair of the pod network is told in an event of the Node, whoever made it.

Invariant: a sentence of bounded length, however much was repaired.
"""

from __future__ import annotations

from collections.abc import Sequence

REPAIRED = "PodNetworkRepaired"

_MOST = 5


def summed(changes: Sequence[str]) -> str:
    """The first few changes, and how many more there were."""
    more = f" and {len(changes) - _MOST} more" if len(changes) > _MOST else ""
    return "; ".join(changes[:_MOST]) + more


def repaired(changes: Sequence[str]) -> str:
    """What an event says."""
    return f"The pod network was changed by somebody else and has been repaired: {summed(changes)}"
