"""Variables in layers: the first layer that has a name gives its value.

Invariant: a `final` layer's values are never templates, whatever their text: facts, results, loop items.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple


class Layer(NamedTuple):
    """Some variables, and whether their text is final."""

    values: Mapping[str, Any]
    final: bool = False


class Found(NamedTuple):
    """A variable's raw value, and whether it is final."""

    value: Any
    final: bool


class Namespace:
    """Layers, the strongest first."""

    __slots__ = ("layers",)

    def __init__(self, *layers: Layer) -> None:
        self.layers = layers

    def find(self, name: str) -> Found | None:
        """The value of the strongest layer that has the name."""
        for layer in self.layers:
            if name in layer.values:
                return Found(layer.values[name], layer.final)
        return None

    def over(self, *layers: Layer) -> Namespace:
        """A namespace with further, stronger layers."""
        return Namespace(*layers, *self.layers)

    def names(self) -> Iterator[str]:
        """Every name once."""
        seen: set[str] = set()
        for layer in self.layers:
            for name in layer.values:
                if name not in seen:
                    seen.add(name)
                    yield name
