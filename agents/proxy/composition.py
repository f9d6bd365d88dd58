"""The table as the union of its services' parts, so that a change of one service is found without the others.

Services share: the chain for so many endpoints, a pod that is behind two of them, an external address and port that
both claim. The first to ask for a thing has it; it goes when the last one lets go.

Invariant: `whole` is at any time what the sequence of `replace` answers adds up to.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Generic, TypeVar

from agents.network.nftables.values import Chain, Key, Ruleset, Set, Value

_EMPTY = Ruleset()
_Name = TypeVar("_Name", bound=Hashable)
_Thing = TypeVar("_Thing")


class _Claims(Generic[_Name, _Thing]):
    """Things by name, each asked for by one owner or more; the first one's is what there is."""

    def __init__(self) -> None:
        self._held: dict[_Name, dict[str, _Thing]] = {}

    def replace(
        self, owner: str, old: Mapping[_Name, _Thing], new: Mapping[_Name, _Thing]
    ) -> tuple[dict[_Name, _Thing], dict[_Name, _Thing]]:
        """What there was, and what there is, under the names that the owner lets go of or asks for."""
        before, after = {}, {}
        for name in old.keys() | new.keys():
            claims = self._held.setdefault(name, {})
            if claims:
                before[name] = next(iter(claims.values()))
            if name in new:
                claims[owner] = new[name]
            else:
                claims.pop(owner, None)
            if claims:
                after[name] = next(iter(claims.values()))
            else:
                del self._held[name]
        return before, after

    def all(self) -> dict[_Name, _Thing]:
        """Everything there is."""
        return {name: next(iter(claims.values())) for name, claims in self._held.items()}


class Composition:
    """Parts of a ruleset by owner, over a fixed base."""

    def __init__(self, base: Ruleset) -> None:
        self._base = base
        self._parts: dict[str, Ruleset] = {}
        self._chains: _Claims[str, Chain] = _Claims()
        self._sets: _Claims[str, Set] = _Claims()
        self._elements: dict[str, _Claims[Key, Value]] = {name: _Claims() for name in base.sets}

    def replace(self, owner: str, part: Ruleset | None) -> tuple[Ruleset, Ruleset]:
        """Put a part in place of the owner's present one (None: without one); (what went, what came) in effect."""
        old, new = self._parts.pop(owner, _EMPTY), part or _EMPTY
        if part is not None:
            self._parts[owner] = part
        chains = self._chains.replace(owner, old.chains, new.chains)
        sets = self._sets.replace(owner, old.sets, new.sets)
        before: dict[str, dict[Key, Value]] = {}
        after: dict[str, dict[Key, Value]] = {}
        for name in old.elements.keys() | new.elements.keys():
            leaving, coming = old.elements.get(name, {}), new.elements.get(name, {})
            before[name], after[name] = self._elements[name].replace(owner, leaving, coming)
        return Ruleset(chains[0], sets[0], before), Ruleset(chains[1], sets[1], after)

    def whole(self) -> Ruleset:
        """The base and all parts."""
        return Ruleset(
            {**self._base.chains, **self._chains.all()},
            {**self._base.sets, **self._sets.all()},
            {name: claims.all() for name, claims in self._elements.items()},
        )
