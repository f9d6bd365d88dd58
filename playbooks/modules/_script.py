"""The far half of `script`: takes the script's bytes, runs it, and leaves nothing behind."""

from __future__ import annotations

import os
import shlex
import tempfile
from typing import Any

from playbooks.engine.helper.call import Call, Failure
from playbooks.modules.command import execute

_GUARDS = (
    ("creates", True, "exists, matching creates"),
    ("removes", False, "does not exist, matching removes"),
)


def run(call: Call) -> dict[str, Any]:
    """Ansible's result of `script`."""
    for name, there, reason in _GUARDS:
        path = os.path.expanduser(call[name] or "")
        if path and os.path.exists(path) is there:
            return {"skipped": True, "changed": False, "msg": f"{call[name]} {reason} option"}
    if call.check:
        if call["creates"] or call["removes"]:
            return {"changed": True}
        return {"skipped": True, "changed": False, "msg": "Check mode is not supported for this task."}
    directory = tempfile.mkdtemp(prefix="wherry-script-")
    path = os.path.join(directory, call["name"])
    try:
        with open(path, "wb") as sink:
            call.receive(sink)
        os.chmod(path, 0o700)
        call.parameters.update(creates=None, removes=None)
        call.parameters.update(stdin=None, strip_empty_ends=False)
        words = [path, *call["arguments"]]
        program = shlex.split(call["executable"] or "")
        call.parameters["executable"] = None
        # The script's name here is nobody's business, and Ansible's result has neither.
        try:
            result = execute(call, [*program, *words])
        except Failure as error:
            raise Failure(str(error), **_without_name(error.result)) from error
        return _without_name(result)
    finally:
        if os.path.exists(path):
            os.unlink(path)
        os.rmdir(directory)


def _without_name(result: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in result.items() if key not in ("cmd", "msg")}
