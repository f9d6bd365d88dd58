"""Whether an evaluation can be afforded, told from the values that it is given, before it begins.

The evaluator cannot be interrupted while it compares, searches or copies, and the whole server waits for it.

Invariant: what passes is over after a second or two, whatever the expression and the values.
Source: apiserver/pkg/apis/cel/config.go (RuntimeCELCostBudget).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from api.cel.cost import estimate
from api.cel.sizes import SIZE, VALUES, Schema

_UNKNOWN = 62
MOST = 10_000_000
"""What an evaluation may cost at worst: the original's limit of all that one object or binding makes it evaluate."""


class Measured:
    """The cost of one expression with values of any size."""

    def __init__(self, serialized: bytes) -> None:
        self._serialized = serialized
        self._roughly: dict[int, bool] = {}

    def affords(self, variables: Mapping[str, Any], text: bytes | None) -> bool:
        """Whether it may be evaluated with these values, whose JSON is `text`.

        Most are small enough for whatever it does with them.
        """
        rough = _UNKNOWN if text is None else len(text).bit_length()
        if rough not in self._roughly:
            self._roughly[rough] = self._cost({name: {SIZE: 1 << rough} for name in variables}) <= MOST
        return self._roughly[rough] or self._cost({name: {VALUES: [one]} for name, one in variables.items()}) <= MOST

    def _cost(self, schemas: Mapping[str, Schema]) -> int:
        return estimate(self._serialized, schemas, measured=True)


def written(variables: Mapping[str, Any]) -> bytes | None:
    """The values as JSON, None for what is too deep or too large a number for it. What is no JSON is small."""
    try:
        return orjson.dumps(variables, default=_nothing, option=orjson.OPT_NON_STR_KEYS)
    except (TypeError, ValueError):
        return None


def _nothing(_: Any) -> None:
    return None
