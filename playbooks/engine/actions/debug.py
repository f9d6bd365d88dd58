"""Shows a message or a variable."""

from __future__ import annotations

from jinja2.utils import missing

from playbooks.engine.actions.context import ActionCall, Result
from playbooks.engine.evaluation.evaluator import OMIT
from playbooks.engine.helper.options import Option
from playbooks.errors import TaskError, UndefinedError

OPTIONS = {
    "msg": Option("raw"),
    "var": Option("raw"),
    "verbosity": Option("int", default=0),
}
EXCLUSIVE = (("msg", "var"),)


def run(call: ActionCall) -> Result:
    """`msg`, or the variable's value under its own name."""
    if call.verbosity < call["verbosity"]:
        return {"skipped": True, "skipped_reason": "Verbosity threshold not met.", "changed": False}
    if call["var"] is None:
        # A message that comes to None is shown as that: only one that is not given is the default.
        unsaid = call["msg"] is None and call.scope.template(call.task.arguments.get("msg", OMIT)) is OMIT
        return {"msg": "Hello world!" if unsaid else call["msg"], "changed": False}
    name = call["var"]
    if not isinstance(name, str):
        raise TaskError(f"var must be the name of a variable or an expression, not {type(name).__name__}")
    call.scope.refuse_told(call.task.arguments.get("var"))
    value = call.scope.variable(name)
    if value is missing:
        try:
            value = call.scope.expression(name)
        except UndefinedError as error:
            reason = getattr(error.__cause__, "message", None) or error
            value = f"<< error 1 - {reason} >>"
    return {name: value, "changed": False}
