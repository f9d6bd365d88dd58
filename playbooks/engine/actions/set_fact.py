"""Sets variables of the host."""

from __future__ import annotations

from playbooks.engine.actions.context import ActionCall, Result
from playbooks.engine.evaluation import trust
from playbooks.engine.helper.options import Option, boolean
from playbooks.engine.language import keywords
from playbooks.errors import TaskError

OPTIONS = {"cacheable": Option("bool", default=False)}
OPEN_ENDED = True


def run(call: ActionCall) -> Result:
    """The variables as `ansible_facts`."""
    values = {name: value for name, value in call.parameters.items() if name != "cacheable"}
    if not values:
        raise TaskError("No key/value pairs provided, at least one is required for this action to succeed")
    for name in values:
        if not keywords.is_variable(name):
            kind = "" if isinstance(name, str) else f" of type {type(name).__name__!r}"
            raise TaskError(f"Invalid variable name {str(name)!r}{kind}: letters, digits and _ are, and no digit first")
    cacheable = boolean(call.parameters.get("cacheable", False))
    told = [name for name in values if not _said(call, name)]
    return {"ansible_facts": values, "changed": False, "_ansible_facts_cacheable": cacheable, "_told": told}


def _said(call: ActionCall, name: str) -> bool:
    """Whether the playbook says the value as it is, and no host has part in it."""
    given = call.task.arguments
    return name in given and trust.picks(given[name], call.scope.namespace)
