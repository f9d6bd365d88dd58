"""The resources whose strategy has a file of its own.

Invariant: a resource is named once.
"""

from __future__ import annotations

from collections.abc import Callable

from control.apiserver.strategies.base import Strategy

SPECIAL: dict[tuple[str, str], Callable[[], Strategy]] = {}
