"""Fails with a message."""

from __future__ import annotations

from playbooks.engine.actions.context import ActionCall, Result
from playbooks.engine.helper.options import Option

OPTIONS = {"msg": Option(default="Failed as requested from task")}


def run(call: ActionCall) -> Result:
    """Always failed."""
    return {"failed": True, "msg": call["msg"], "changed": False}
