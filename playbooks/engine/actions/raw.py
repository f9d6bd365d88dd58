"""Runs a command through the host's shell, without Python there: how Python gets there."""

from __future__ import annotations

from playbooks.engine.actions.context import ActionCall, Result
from playbooks.engine.helper.options import Option
from playbooks.errors import TaskError

OPTIONS = {"cmd": Option(required=True, aliases=("_raw_params", "free_form")), "executable": Option()}
FREE_FORM = "cmd"


def run(call: ActionCall) -> Result:
    """`rc`, `stdout`, `stderr` (which is in stdout: there is one stream)."""
    if call.check:
        return {"skipped": True, "changed": False}
    connection, become = call.connect()
    # As in Ansible no environment comes along: there may be no shell to take it.
    done = connection.raw(call["cmd"], become, call["executable"] or "/bin/sh")
    output = done.output.replace("\r\n", "\n")
    result: Result = {
        "changed": True,
        "rc": done.status,
        "stdout": output,
        "stdout_lines": output.splitlines(),
        "stderr": "",
        "stderr_lines": [],
    }
    if done.status != 0:
        raise TaskError("non-zero return code", **result)
    return result
