"""Sets variables of the host."""

from __future__ import annotations

from playbooks.engine.actions.context import ActionCall, Result
from playbooks.engine.helper.options import Option, boolean
from playbooks.errors import TaskError

OPTIONS = {"cacheable": Option("bool", default=False)}
OPEN_ENDED = True


def run(call: ActionCall) -> Result:
    """The variables as `ansible_facts`."""
    values = {name: value for name, value in call.parameters.items() if name != "cacheable"}
    if not values:
        raise TaskError("No key/value pairs provided, at least one is required for this action to succeed")
    for name in values:
        if not str(name).isidentifier():
            raise TaskError(f"The variable name '{name}' is not valid.")
    cacheable = boolean(call.parameters.get("cacheable", False))
    return {"ansible_facts": values, "changed": False, "_ansible_facts_cacheable": cacheable}
