"""Waits, or asks."""

from __future__ import annotations

import datetime
import getpass
import sys
import time

from playbooks.engine.actions.context import ActionCall, Result
from playbooks.engine.helper.options import Option

OPTIONS = {
    "seconds": Option("float"),
    "minutes": Option("float"),
    "prompt": Option(),
    "echo": Option("bool", default=True),
}
EXCLUSIVE = (("minutes", "seconds"),)


def run(call: ActionCall) -> Result:
    """How long it waited, and what the user typed."""
    begun, started = datetime.datetime.now(), time.monotonic()
    typed = ""
    if call["seconds"] is not None or call["minutes"] is not None:
        # As in Ansible, less than a second is one.
        call.wait(max(1, call["minutes"] * 60 if call["seconds"] is None else call["seconds"]))
    elif sys.stdin.isatty():
        typed = _ask(call)
    took = time.monotonic() - started
    duration = f"{round(took, 2)} seconds" if call["seconds"] is not None else f"{round(took / 60, 2)} minutes"
    return {
        "changed": False, "rc": 0, "stderr": "", "stdout": f"Paused for {duration}", "start": str(begun),
        "stop": str(datetime.datetime.now()), "delta": int(took), "echo": call["echo"], "user_input": typed,
    }  # fmt: skip


def _ask(call: ActionCall) -> str:
    if not call["echo"]:
        return getpass.getpass(f"{call['prompt'] or 'Press enter to continue'}: ")
    return input(f"[{call.task.name or 'pause'}] {call['prompt'] or 'Press enter to continue'}: ")
