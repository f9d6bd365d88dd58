"""Runs a script of this machine on the host."""

from __future__ import annotations

import shlex

from playbooks.engine.actions.context import ActionCall, Result
from playbooks.engine.helper.options import Option
from playbooks.errors import PlaybookError, TaskError

OPTIONS = {
    "cmd": Option(aliases=("_raw_params",)),
    "chdir": Option(),
    "creates": Option(),
    "removes": Option(),
    "executable": Option(),
    "decrypt": Option("bool", default=True),
}
FREE_FORM = "cmd"


def run(call: ActionCall) -> Result:
    """Ansible's result of `script`."""
    words = shlex.split(call["cmd"] or "")
    if not words:
        raise TaskError("script needs the name of a script")
    try:
        path = call.find("files", words[0])
    except PlaybookError as error:
        raise TaskError(str(error)) from error
    if call["chdir"] and not call["chdir"].startswith("/"):
        raise TaskError(f"chdir {call['chdir']} must be an absolute path for a Unix-aware remote node")
    parameters = {**call.parameters, "arguments": words[1:], "name": path.name}
    with path.open("rb") as stream:
        return call.remote("_script", parameters, source=stream)
