"""`ansible_failed_task`: what a rescue is told of the task that failed.

Invariant: pure; it has every key that Ansible's has, whatever the task says of itself.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from typing import Any

from playbooks.engine.language.values import Task

# Keywords that tasks take over from their play, with what they are where nobody said anything.
_KEYWORDS: Mapping[str, Any] = {
    "any_errors_fatal": False, "async": 0, "become": None, "become_exe": None, "become_flags": None,
    "become_method": "sudo", "become_user": None, "check_mode": False, "connection": None, "debugger": None,
    "delegate_facts": None, "delegate_to": None, "diff": False, "ignore_errors": None, "ignore_unreachable": None,
    "module_defaults": [], "no_log": False, "poll": 15, "port": None, "remote_user": None, "run_once": None,
    "throttle": 0, "timeout": 0,
}  # fmt: skip


def described(task: Task, evaluated: Callable[[Any], Any]) -> dict[str, Any]:
    """The task as Ansible tells of one; `evaluated` gives values that have templates."""
    told = {word: evaluated(task.keywords.get(word, usual)) for word, usual in _KEYWORDS.items()}
    arguments = evaluated(dict(task.arguments))
    if task.action in ("command", "shell") and "cmd" in arguments:
        arguments["_raw_params"] = arguments.pop("cmd")
    control = task.loop_control
    return {
        **told,
        "name": evaluated(task.name),
        "action": task.word or task.action,
        "_resolved_action": f"ansible.builtin.{task.action}",
        "args": arguments,
        "async_val": told["async"],
        "changed_when": list(task.changed_when or ()),
        "collections": [],
        "delay": task.delay,
        "environment": evaluated(list(task.environment)),
        "failed_when": list(task.failed_when or ()),
        "finalized": True,
        "loop": task.loop.expression if task.loop else None,
        "loop_control": {
            "break_when": list(control.break_when), "extended": control.extended,
            "index_var": control.index_var or None, "extended_allitems": control.extended_allitems,
            "label": control.label, "loop_var": control.loop_var,
            "pause": control.pause,
        },
        "loop_with": (task.loop.lookup or None) if task.loop else None,
        "notify": list(task.notify) or None,
        "register": task.register or None,
        "retries": task.retries,
        "squashed": True,
        "tags": sorted(task.tags),
        "until": list(task.until),
        "uuid": str(uuid.uuid5(uuid.NAMESPACE_URL, str(task.mark))),
        "vars": evaluated({name: value for name, value in task.variables.items() if name not in task.scope.variables}),
        "when": list(task.when),
    }  # fmt: skip
