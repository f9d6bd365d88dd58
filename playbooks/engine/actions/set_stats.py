"""Keeps figures of the run beside its results."""

from __future__ import annotations

from playbooks.engine.actions.context import ActionCall, Result
from playbooks.engine.helper.options import Option

OPTIONS = {
    "data": Option("dict", required=True),
    "per_host": Option("bool", default=False),
    "aggregate": Option("bool", default=True),
}


def run(call: ActionCall) -> Result:
    """Ansible's result of `set_stats`."""
    stats = {"data": call["data"], "per_host": call["per_host"], "aggregate": call["aggregate"]}
    return {"changed": False, "ansible_stats": stats}
