"""Puts the host into a group named by a value."""

from __future__ import annotations

from playbooks.engine.actions.context import ActionCall, Result
from playbooks.engine.helper.options import Option

OPTIONS = {"key": Option(required=True), "parents": Option("list", default=("all",))}


def run(call: ActionCall) -> Result:
    """`add_group` and `parent_groups`; the executor does the rest."""
    return {
        "changed": False,
        "add_group": call["key"].replace(" ", "-"),
        "parent_groups": [parent.replace(" ", "-") for parent in call["parents"]],
    }
