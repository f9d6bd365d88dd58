"""Fails unless all conditions hold."""

from __future__ import annotations

from typing import Any

from playbooks.engine.actions.context import ActionCall, Result
from playbooks.engine.helper.options import Option
from playbooks.errors import TaskError

OPTIONS = {
    "that": Option("raw", required=True),
    "fail_msg": Option("raw", aliases=("msg",)),
    "success_msg": Option("raw"),
    "quiet": Option("bool", default=False),
}


def run(call: ActionCall) -> Result:
    """`msg`, and the first condition that does not hold as `assertion`."""
    for name in ("fail_msg", "success_msg"):
        _check_message(name, call[name])
    for condition in call.scope.conditions(call.task.arguments.get("that", call["that"])):
        if not call.scope.condition(condition):
            message = call["fail_msg"] or "Assertion failed"
            return {"failed": True, "evaluated_to": False, "assertion": condition, "msg": message, "changed": False}
    return {"msg": call["success_msg"] or "All assertions passed", "changed": False}


def _check_message(name: str, given: Any) -> None:
    texts = given if isinstance(given, list) else [given]
    if not all(isinstance(text, str) for text in texts) and given is not None:
        raise TaskError(f"{name} must be a text or a list of texts, not {given!r}")
