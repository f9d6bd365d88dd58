"""The table as the union of its services' parts, so that a change of one service is found without the others.

Two services may ask for the same element: an external address and port that both claim, or a pod that is behind
both. The first to ask has it, the next one gets it when the first lets go.

Invariant: `whole` is at any time what the sequence of `replace` answers adds up to.
"""

from __future__ import annotations

from agents.network.nftables.values import Chain, Key, Ruleset, Set, Value

_EMPTY = Ruleset()


class Composition:
    """Parts of a ruleset by owner, over a fixed base."""

    def __init__(self, base: Ruleset) -> None:
        self._base = base
        self._parts: dict[str, Ruleset] = {}
        self._claims: dict[str, dict[Key, dict[str, Value]]] = {name: {} for name in base.sets}

    def owners(self) -> set[str]:
        """Who has a part."""
        return set(self._parts)

    def replace(self, owner: str, part: Ruleset | None) -> tuple[Ruleset, Ruleset]:
        """Put a part in place of the owner's present one (None: without one); (what went, what came) in effect."""
        old, new = self._parts.pop(owner, _EMPTY), part or _EMPTY
        if part is not None:
            self._parts[owner] = part
        before: dict[str, dict[Key, Value]] = {}
        after: dict[str, dict[Key, Value]] = {}
        for name in old.elements.keys() | new.elements.keys():
            claims = self._claims.setdefault(name, {})
            leaving, coming = old.elements.get(name, {}), new.elements.get(name, {})
            for key in leaving.keys() | coming.keys():
                held = claims.setdefault(key, {})
                if held:
                    before.setdefault(name, {})[key] = next(iter(held.values()))
                if key in coming:
                    held[owner] = coming[key]
                else:
                    held.pop(owner, None)
                if held:
                    after.setdefault(name, {})[key] = next(iter(held.values()))
                else:
                    del claims[key]
        return Ruleset(old.chains, old.sets, before), Ruleset(new.chains, new.sets, after)

    def whole(self) -> Ruleset:
        """The base and all parts."""
        chains: dict[str, Chain] = dict(self._base.chains)
        sets: dict[str, Set] = dict(self._base.sets)
        for part in self._parts.values():
            chains.update(part.chains)
            sets.update(part.sets)
        elements = {
            name: {key: next(iter(held.values())) for key, held in claims.items()}
            for name, claims in self._claims.items()
        }
        return Ruleset(chains, sets, elements)
