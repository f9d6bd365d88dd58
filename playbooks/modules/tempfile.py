"""Makes a new file or directory with a name of its own."""

from __future__ import annotations

import os
import tempfile
from typing import Any

from playbooks.engine.helper.call import Call, Failure
from playbooks.engine.helper.options import Option

OPTIONS = {
    "state": Option(default="file", choices=("file", "directory")),
    "path": Option("expanded_path"),
    "prefix": Option(default="ansible."),
    "suffix": Option(default=""),
}
SUPPORTS_CHECK = False


def run(call: Call) -> dict[str, Any]:
    """Ansible's result of `tempfile`."""
    for name in ("prefix", "suffix"):
        if call[name] != os.path.basename(call[name]):
            raise Failure(f"{name} must be a valid file name component, got {call[name]!r}")
    if call["state"] == "file":
        handle, path = tempfile.mkstemp(prefix=call["prefix"], suffix=call["suffix"], dir=call["path"])
        os.close(handle)
    else:
        path = tempfile.mkdtemp(prefix=call["prefix"], suffix=call["suffix"], dir=call["path"])
    return {"changed": True, "path": path}
