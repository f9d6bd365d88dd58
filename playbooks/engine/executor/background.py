"""`async`: a task as a job on its host, begun and left alone (`poll: 0`) or begun and waited for.

Invariant: a job that is waited for outlives its connection; only its time limit or its end ends the waiting.
Source: Ansible, "Asynchronous actions and polling".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from playbooks.engine.actions.context import ActionCall, Result
from playbooks.errors import Unreachable

# A job is asked for often at first, then as often as the task says.
_FIRST_PAUSE = 0.05


def run(call: ActionCall, module: str, parameters: Mapping[str, Any], limit: float, poll: float) -> Result:
    """The result of the job's beginning, or with a `poll` of its end. Raises Unreachable, TaskError."""
    begun = call.remote(module, parameters, background=limit)
    if begun.get("failed") or not poll:
        return begun
    job = begun["ansible_job_id"]
    left, pause = limit, min(_FIRST_PAUSE, poll)
    while left > 0:
        call.wait(pause)
        left, pause = left - pause, min(pause * 2, poll)
        try:
            found = call.remote("async_status", {"jid": job, "mode": "status"})
        except Unreachable:
            if left <= 0:
                raise
            continue
        if found.get("finished"):
            call.remote("async_status", {"jid": job, "mode": "cleanup"})
            return found
    late = call.remote("async_status", {"jid": job, "mode": "status"})
    message = f"async task did not complete within the requested time - {limit:g}s"
    return late if late.get("finished") else {"failed": True, "msg": message, "async_result": late, "changed": False}
