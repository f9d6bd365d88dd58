"""Waits, or asks."""

from __future__ import annotations

import sys

from playbooks.engine.actions.context import ActionCall, Result
from playbooks.engine.helper.options import Option

OPTIONS = {
    "seconds": Option("float"),
    "minutes": Option("float"),
    "prompt": Option(),
    "echo": Option("bool", default=True),
}


def run(call: ActionCall) -> Result:
    """How long it waited, and what the user typed."""
    seconds = call["seconds"] if call["seconds"] is not None else (call["minutes"] or 0) * 60
    typed = ""
    if call["seconds"] is None and call["minutes"] is None and sys.stdin.isatty():
        if call["echo"]:
            typed = input(f"[{call.task.name or 'pause'}] {call['prompt'] or 'Press enter to continue'}: ")
        else:
            from getpass import getpass

            typed = getpass(f"{call['prompt'] or 'Press enter to continue'}: ")
    else:
        call.wait(seconds)
    return {"changed": False, "delta": int(seconds), "user_input": typed, "stdout": f"Paused for {seconds:g} seconds"}
