"""What is peculiar to events: two groups serve them, and judge them differently.

Invariant: as base.Strategy.
Source: pkg/registry/core/event/strategy.go.
"""

from __future__ import annotations

from api.errors import Cause
from api.objects import Object
from api.validation import events
from control.apiserver.operation import Operation
from control.apiserver.strategies.base import Strategy


class EventStrategy(Strategy):
    """Events of the core group and of events.k8s.io."""

    def validate(self, operation: Operation, new: Object, old: Object | None) -> list[Cause]:
        """The rules of the group that the request names."""
        return events.judged(new, old, core=not operation.endpoint.entry.resource.group)
