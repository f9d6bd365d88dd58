"""Variables in layers: the first layer that has a name gives its value.

Invariant: a `final` layer's values are never templates, whatever their text: facts, results, loop items.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from typing import Any, NamedTuple


class Layer(NamedTuple):
    """Some variables, and whether their text is final; of such ones `told` names those that a host said."""

    values: Mapping[str, Any]
    final: bool = False
    told: bool | Container[str] = False


class Found(NamedTuple):
    """A variable's raw value, whether it is final, and whether a host said it."""

    value: Any
    final: bool
    told: bool


class Namespace:
    """Layers, the strongest first."""

    __slots__ = ("layers",)

    def __init__(self, *layers: Layer) -> None:
        self.layers = layers

    def find(self, name: str) -> Found | None:
        """The value of the strongest layer that has the name."""
        for layer in self.layers:
            if name in layer.values:
                told = layer.told if isinstance(layer.told, bool) else name in layer.told
                return Found(layer.values[name], layer.final, told)
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
