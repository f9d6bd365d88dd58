"""Tells how a job stands that `async` began, or removes what is kept of it."""

from __future__ import annotations

import json
import os
from typing import Any

from playbooks.engine.helper import background
from playbooks.engine.helper.call import Call, Failure
from playbooks.engine.helper.options import Option

OPTIONS = {
    "jid": Option(required=True),
    "mode": Option(default="status", choices=("cleanup", "status")),
}


def run(call: Call) -> dict[str, Any]:
    """Ansible's result of `async_status`."""
    job = call["jid"]
    path = os.path.join(background.directory(), os.path.basename(job))
    cleaning = call["mode"] == "cleanup"
    result: dict[str, Any] = {
        "ansible_job_id": job, "stdout": "", "stderr": "", "started": not cleaning, "finished": False, "changed": False,
        **({"erased": path} if cleaning else {"results_file": path}),
    }  # fmt: skip
    try:
        with open(path, encoding="utf-8") as stream:
            text = stream.read()
        if cleaning:
            os.unlink(path)
            return result
    except FileNotFoundError:
        raise Failure("could not find job", **{**result, "started": True, "finished": True}) from None
    try:
        found = json.loads(text) if text else {"started": True}
    except ValueError as error:
        raise Failure(f"Could not parse job output: {text}", **{**result, "finished": True}) from error
    return {**result, "finished": "started" not in found, **found}
