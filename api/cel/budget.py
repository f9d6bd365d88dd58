"""What one evaluation has cost so far, as far as it can be counted: the work of the functions of this package.

The evaluator counts the steps of its macros itself, and tells nobody of the rest.
Invariant: an evaluation ends once it has cost what the original allows a call.
Source: apiserver/pkg/apis/cel/config.go (PerCallLimit); apiserver/pkg/cel/library/cost.go.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Sized
from typing import Any

OUT_OF_BUDGET = "operation cancelled: actual cost limit exceeded"
"""What an evaluation says that cost too much."""
PER_CALL = 1_000_000
_TRAVERSAL, _PATTERN = 0.1, 0.25
_SEARCHES = frozenset({"find", "findAll"})


class _Spent(threading.local):
    amount = 0


_spent = _Spent()


def begin() -> None:
    """Another evaluation starts."""
    _spent.amount = 0


def counted(name: str, implementation: Callable[..., Any]) -> Callable[..., Any]:
    """The function, each call of which is charged. Raises ValueError when nothing is left to pay with."""
    is_search = name in _SEARCHES

    def run(*given: Any) -> Any:
        sizes = [len(one) for one in given if isinstance(one, Sized)]
        cost = 1 + sum(math.ceil(size * _TRAVERSAL) for size in sizes)
        if is_search:
            cost = math.ceil(sizes[0] * _TRAVERSAL) * math.ceil(sizes[1] * _PATTERN) + 1
        _spent.amount += cost
        if _spent.amount > PER_CALL:
            raise ValueError(OUT_OF_BUDGET)
        return implementation(*given)

    return run
