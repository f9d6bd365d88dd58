"""The far half of `script`: takes the script's bytes, runs it, and leaves nothing behind."""

from __future__ import annotations

import os
import shlex
import tempfile
from typing import Any

from playbooks.engine.helper.call import Call
from playbooks.modules.command import execute


def run(call: Call) -> dict[str, Any]:
    """Ansible's result of `script`."""
    directory = tempfile.mkdtemp(prefix="wherry-script-")
    path = os.path.join(directory, call["name"])
    try:
        if not call.check:
            with open(path, "wb") as sink:
                call.receive(sink)
            os.chmod(path, 0o700)
        call.parameters.update(stdin=None, strip_empty_ends=False)
        words = [path, *call["arguments"]]
        program = shlex.split(call["executable"] or "")
        call.parameters["executable"] = None
        result = execute(call, [*program, *words])
        # The script's name here is nobody's business, and Ansible's result has neither.
        return {key: value for key, value in result.items() if key not in ("cmd", "msg") or result.get("skipped")}
    finally:
        if os.path.exists(path):
            os.unlink(path)
        os.rmdir(directory)
