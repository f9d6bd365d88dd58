"""The `meta` tasks: they steer the play itself.

Source: Ansible, module `meta`.
"""

from __future__ import annotations

from collections.abc import Sequence

from playbooks.engine.executor.play_state import HostState, PlayState
from playbooks.engine.language import keywords
from playbooks.engine.language.values import Task


def perform(play: PlayState, task: Task, states: Sequence[HostState]) -> None:
    """Do a meta task for hosts that stand at it. Raises PlaybookError."""
    action = str(task.arguments.get("free_form"))
    for state in states:
        if play.evaluator(state.name, task).all_hold(task.when) is not None:
            state.cursor.advance()
            continue
        _one(play, task, action, state)
        if action in ("end_play", "end_batch"):
            return


def _one(play: PlayState, task: Task, action: str, state: HostState) -> None:
    if action == "flush_handlers":
        if due := play.due_handlers(state):
            state.cursor.insert(due, handlers=True)
        else:
            state.cursor.advance()
        return
    state.cursor.advance()
    if action == keywords.ROLE_COMPLETE:
        state.complete(task.role)
    elif action == "end_host":
        state.cursor.end()
        state.ended = True
    elif action in ("end_play", "end_batch"):
        for other in play.hosts.values():
            other.cursor.end()
        play.ended = action == "end_play"
    elif action == "end_role":
        state.cursor.end_role(task.role)
    elif action == "clear_facts":
        play.run.clear_facts(state.name)
    elif action == "clear_host_errors":
        for other in play.hosts.values():
            other.cursor.forgive()
            other.unreachable = False
        play.run.forgive(play.hosts)
    elif action == "reset_connection":
        play.run.reset_connections()
    elif action == "refresh_inventory":
        play.run.refresh_inventory()
