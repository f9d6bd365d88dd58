"""What the checks of the Pod Security Standards look at, and how they name who offends.

Invariant: pure values; nothing here knows a rule.
Source: k8s.io/pod-security-admission/policy, visitor.go and helpers.go.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from api.objects import Object

LATEST = 1 << 30
"""Newer than every minor version."""

Violation = tuple[str, str]
"""A reason and its detail."""


@dataclass(frozen=True, slots=True)
class Judged:
    """A pod, all of its containers, and the minor version as of which it is judged."""

    spec: Object
    containers: list[Object]
    annotations: Mapping[str, str]
    minor: int

    @property
    def has_own_users(self) -> bool:
        """Whether its users are none of the node's, which relaxes some rules."""
        return self.minor >= 35 and self.spec.get("hostUsers") is False

    @property
    def is_windows(self) -> bool:
        """Whether rules that only Linux knows do not concern it."""
        return self.minor >= 25 and (self.spec.get("os") or {}).get("name") == "windows"


Check = Callable[[Judged], Violation | None]


def security(holder: Object) -> Object:
    """The security context of a pod's spec or of a container."""
    return holder.get("securityContext") or {}


def quoted(names: Iterable[str]) -> str:
    """`"a", "b"`."""
    return ", ".join(f'"{name}"' for name in names)


def named(found: list[Object]) -> str:
    """`container "a"` or `containers "a", "b"`."""
    return f"container{'s' * (len(found) > 1)} {quoted(one['name'] for one in found)}"


def who(pod: bool, found: list[Object], *others: str) -> str:
    """Everybody who offends, the pod first."""
    return " and ".join(["pod"] * pod + [named(found)] * bool(found) + list(others))


def adds_beyond(judged: Judged, allowed: frozenset[str]) -> str:
    """What is said of containers that add capabilities beyond those allowed, "" if none does."""
    added = [(one, set((security(one).get("capabilities") or {}).get("add") or ())) for one in judged.containers]
    found = [one for one, names in added if names - allowed]
    if not found:
        return ""
    extra = sorted(set().union(*(names for _, names in added)) - allowed)
    return f"{named(found)} must not include {quoted(extra)} in securityContext.capabilities.add"


def bad_seccomp(judged: Judged) -> Violation | None:
    """The refusal of seccomp profiles that confine nothing."""

    def bad(holder: Object) -> bool:
        return (security(holder).get("seccompProfile") or {}).get("type") not in (None, "RuntimeDefault", "Localhost")

    found = [one for one in judged.containers if bad(one)]
    holders = [one for one in (judged.spec, *judged.containers) if bad(one)]
    if not holders:
        return None
    kinds = quoted(sorted({security(one)["seccompProfile"]["type"] for one in holders}))
    what = f"must not set securityContext.seccompProfile.type to {kinds}"
    return "seccompProfile", f"{who(bad(judged.spec), found)} {what}"
