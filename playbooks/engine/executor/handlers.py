"""Which handlers a notification means.

Invariant: pure but for evaluating handler names. Of handlers with one name the last defined is meant, by its name as
by a topic; every handler that listens to the topic is.
"""

from __future__ import annotations

from collections.abc import Iterable

from playbooks.engine.evaluation.evaluator import Evaluator
from playbooks.engine.language.values import Task
from playbooks.errors import MissingHandlerError, TemplateError


def find(handlers: Iterable[Task], topic: str, scope: Evaluator) -> list[Task]:
    """The handlers of a topic. Raises MissingHandlerError if there is none."""
    known = list(handlers)
    named = next((handler for handler in reversed(known) if topic in _names(handler, scope)), None)
    last = {handler.name: handler for handler in known if topic in handler.listen}
    listening = [h for h in known if topic in h.listen and (not h.name or last[h.name] is h)]
    found = [handler for handler in known if handler is named or handler in listening]
    if not found:
        raise MissingHandlerError(
            f"The requested handler '{topic}' was not found in either the main handlers list nor in the listening "
            "handlers list"
        )
    return found


def _names(handler: Task, scope: Evaluator) -> tuple[str, ...]:
    name = handler.name
    if "{{" in name:
        try:
            name = str(scope.template(name))
        except TemplateError:
            return ()
    return (name, f"{handler.role.name} : {name}") if handler.role else (name,)
