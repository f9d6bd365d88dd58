"""Many writes for one need, in growing batches, so that a write that cannot succeed is not tried hundreds of times.

Invariant: after a batch with a failure no further one starts.
Source: kubernetes slowStartBatch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from api.pool import for_each
from api.runtime import Runtime

T = TypeVar("T")

WRITES_AT_ONCE = 16
BURST_REPLICAS = 500


def slow_start(runtime: Runtime, name: str, items: Sequence[T], function: Callable[[T], None]) -> None:
    """Call `function` for the items: 1, then 2, 4, 8 … of them together. The first error is raised."""
    size, done = 1, 0
    while done < len(items):
        batch = items[done : done + size]
        for_each(runtime, name, batch, function, width=WRITES_AT_ONCE)
        done += len(batch)
        size *= 2
