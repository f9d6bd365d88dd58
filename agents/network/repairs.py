"""Repairs of many things, one after the other.

Invariant: what cannot be repaired keeps nothing else from it, and each is told of.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from agents.network.netlink import NetlinkError
from agents.network.sysctl import SysctlError


@dataclass(frozen=True, slots=True)
class Repairs:
    """What was done and what could not be, as sentences."""

    done: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    def __add__(self, other: Repairs) -> Repairs:
        return Repairs(self.done + other.done, self.failed + other.failed)


def attempted(repairs: Iterable[tuple[str, Callable[[], list[str]]]]) -> Repairs:
    """Try each; they go by the names of what they repair, and say what they did."""
    found = Repairs()
    for name, repair in repairs:
        try:
            found.done.extend(repair())
        except (OSError, NetlinkError, SysctlError) as error:
            found.failed.append(f"{name} cannot be repaired: {error}")
    return found
