"""Fails unless all conditions hold."""

from __future__ import annotations

from playbooks.engine.actions.context import ActionCall, Result
from playbooks.engine.helper.options import Option

OPTIONS = {
    "that": Option("raw", required=True),
    "fail_msg": Option("raw", aliases=("msg",)),
    "success_msg": Option("raw"),
    "quiet": Option("bool", default=False),
}


def run(call: ActionCall) -> Result:
    """`msg`, and the first condition that does not hold as `assertion`."""
    conditions = call.task.arguments.get("that", call["that"])
    for condition in conditions if isinstance(conditions, list) else [conditions]:
        if not call.scope.condition(condition):
            message = call["fail_msg"] or "Assertion failed"
            return {"failed": True, "evaluated_to": False, "assertion": condition, "msg": message, "changed": False}
    return {"msg": call["success_msg"] or "All assertions passed", "changed": False}
