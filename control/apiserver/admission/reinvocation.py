"""A second round of mutating admission, for what is to see the changes that came after its turn.

Plugins of the server itself take part in both rounds, so each must leave alone what it has completed before. Webhooks
and policies of others take part in the second one only where their `reinvocationPolicy` is IfNeeded and the object has
changed since they saw it.

Invariant: there are never more than two rounds.
Source: apiserver/pkg/admission/reinvocation.go; webhook/mutating/reinvocationcontext.go.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from api.objects import Object, copy
from control.apiserver.operation import Operation


@dataclass(slots=True)
class Calls:
    """The hooks of one plugin, by name: who has been asked and may be asked again, and who is to be."""

    eligible: set[str] = field(default_factory=set)
    due: set[str] = field(default_factory=set)
    left: Object | None = None

    def repeat(self) -> None:
        """The object has changed: whoever may be asked again is to be."""
        self.due |= self.eligible
        self.eligible.clear()


@dataclass(slots=True)
class Rounds:
    """What the rounds of one operation have seen; `changed` asks for the second one."""

    second: bool = False
    changed: bool = False
    plugins: dict[str, Calls] = field(default_factory=dict)

    def begin(self, plugin: str, new: Object) -> Calls:
        """The turn of a plugin's hooks begins, with the object as it is now."""
        calls = self.plugins.setdefault(plugin, Calls())
        if self.second and calls.left is not None and new != calls.left:
            calls.repeat()
        return calls

    def skips(self, calls: Calls, name: str) -> bool:
        """Whether a hook has nothing to do in this round."""
        return self.second and name not in calls.due

    def note(self, calls: Calls, before: Object, after: Object) -> None:
        """A hook has answered."""
        if before != after:
            calls.repeat()
            self.changed = True

    def end(self, calls: Calls, new: Object) -> None:
        """The turn of a plugin's hooks is over."""
        if calls.eligible and not self.second:
            calls.left = copy(new)


def rounds_of(operation: Operation) -> Rounds:
    """The rounds of an operation."""
    if operation.rounds is None:
        operation.rounds = Rounds()
    return operation.rounds
