"""Admission: plugins that complete an object, then plugins that may refuse it.

Invariant: every mutating plugin has run before the first validating one, and again if hooks of others have changed
the object; a plugin is asked only about the resources and verbs that it names.
Source: apiserver/pkg/admission.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from api.objects import Object
from control.apiserver.operation import Operation


class Plugin(Protocol):
    """One concern. `old` is None for a create; `new` is empty for a delete."""

    def handles(self, operation: Operation) -> bool:
        """Whether the plugin has anything to say."""

    def mutate(self, operation: Operation, new: Object, old: Object | None) -> Object:
        """The object, changed or not. Raises ApiError to refuse."""

    def validate(self, operation: Operation, new: Object, old: Object | None) -> None:
        """Raises ApiError to refuse."""


class PluginBase:
    """Does nothing; a plugin overrides what concerns it."""

    def handles(self, operation: Operation) -> bool:
        return True

    def mutate(self, operation: Operation, new: Object, old: Object | None) -> Object:
        return new

    def validate(self, operation: Operation, new: Object, old: Object | None) -> None:
        return None


class Pipeline:
    """The plugins in their order."""

    def __init__(self, plugins: Sequence[Plugin]) -> None:
        self._plugins = tuple(plugins)

    def mutate(self, operation: Operation, new: Object, old: Object | None) -> Object:
        """The object as the plugins complete it. Raises ApiError."""
        operation.rounds = None
        new = self._round(operation, new, old)
        if operation.rounds is not None and operation.rounds.changed:
            operation.rounds.second = True
            new = self._round(operation, new, old)
        return new

    def _round(self, operation: Operation, new: Object, old: Object | None) -> Object:
        for plugin in self._plugins:
            if plugin.handles(operation):
                new = plugin.mutate(operation, new, old)
        return new

    def validate(self, operation: Operation, new: Object, old: Object | None) -> None:
        """Raises ApiError if a plugin refuses."""
        for plugin in self._plugins:
            if plugin.handles(operation):
                plugin.validate(operation, new, old)
