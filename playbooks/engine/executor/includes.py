"""Reads what a host includes while the play runs, once for all hosts that include the same.

Invariant: hosts that include the same file with the same variables get the same task objects, so that they stay in
step and notify the same handlers.
"""

from __future__ import annotations

from typing import Any

from inventory.documents import MarkedDict
from playbooks.engine.executor.play_state import PlayState
from playbooks.engine.executor.task_runner import Include
from playbooks.engine.helper.options import boolean
from playbooks.engine.language.roles import RoleParser
from playbooks.engine.language.tasks import Collected
from playbooks.engine.language.values import Block, Node, Task
from playbooks.errors import PlaybookError


class Includes:
    """The includes of one play."""

    def __init__(self, play: PlayState) -> None:
        self._play = play
        self._read: dict[Any, tuple[Node, ...]] = {}

    def nodes(self, task: Task, includes: list[Include]) -> tuple[Node, ...]:
        """What a task's includes bring, a block for each. Raises PlaybookError."""
        with self._play.lock:
            return tuple(Block(self._one(task, include), mark=task.mark) for include in includes)

    def _one(self, task: Task, include: Include) -> tuple[Node, ...]:
        key = (id(task), repr(include.arguments), repr(include.variables))
        if key not in self._read:
            self._read[key] = self._parse(task, include)
        return self._read[key]

    def _parse(self, task: Task, include: Include) -> tuple[Node, ...]:
        collected = Collected()
        parser = self._play.parser(collected)
        apply = task.arguments.get("apply")
        apply = apply if isinstance(apply, MarkedDict) else None
        if task.action == "include_tasks":
            nodes = parser.included(task, str(include.arguments.get("file")), apply, include.variables)
        else:
            name = str(include.arguments.get("name") or include.arguments.get("role") or "")
            if not name:
                raise PlaybookError(f"{task.mark}: include_role needs a name")
            scope = parser.include_scope(task, apply, include.variables)
            nodes = RoleParser(parser).imported(name, include.arguments, scope, task.mark)
        self._play.join(collected, public=boolean(include.arguments.get("public", False)))
        return nodes


def described(task: Task, include: Include) -> str:
    """What the display says about an include."""
    return str(include.arguments.get("file") or include.arguments.get("name") or include.arguments.get("role"))
