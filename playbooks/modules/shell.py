"""Runs a command line through the shell."""

from __future__ import annotations

from typing import Any

from playbooks.engine.helper.call import Call, Failure
from playbooks.engine.helper.options import Option
from playbooks.modules.command import execute

OPTIONS = {
    "cmd": Option(aliases=("_raw_params",)),
    "chdir": Option("path"),
    "creates": Option("path"),
    "removes": Option("path"),
    "stdin": Option(),
    "stdin_add_newline": Option("bool", default=True),
    "strip_empty_ends": Option("bool", default=True),
    "executable": Option("path"),
}
FREE_FORM = "cmd"


def run(call: Call) -> dict[str, Any]:
    """Ansible's result of `shell`."""
    if call["cmd"] is None:
        raise Failure("one of the following is required: _raw_params, cmd, argv")
    return execute(call, call["cmd"] or None)
