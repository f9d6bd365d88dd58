"""Calls that block in the kernel: in a native thread where they would stop every task of the process.

Under gevent all tasks share one thread; what waits there without gevent's knowledge, such as a sync of the disk or
the removal of a network link, holds up all of them.

Invariant: without gevent's patches (real threads) nothing is handed over.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from gevent import get_hub, monkey

T = TypeVar("T")


def is_cooperative() -> bool:
    """Whether the tasks of this process share one thread."""
    return bool(monkey.is_module_patched("threading"))


def elsewhere(call: Callable[[], T]) -> T:
    """The result of a call that takes long and touches nothing of gevent's."""
    if not is_cooperative():
        return call()
    result: T = get_hub().threadpool.apply(call)
    return result
