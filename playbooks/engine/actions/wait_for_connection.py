"""Waits until the host answers."""

from __future__ import annotations

import time

from playbooks.engine.actions.context import ActionCall, Result
from playbooks.engine.helper.options import Option
from playbooks.errors import TaskError, Unreachable

OPTIONS = {
    "connect_timeout": Option("int", default=5),
    "delay": Option("int", default=0),
    "sleep": Option("int", default=1),
    "timeout": Option("int", default=600),
}


def run(call: ActionCall) -> Result:
    """`elapsed` seconds."""
    started = time.monotonic()
    if call.check:
        return {"changed": False, "elapsed": 0}
    call.wait(call["delay"])
    until_answer(call, call["timeout"], call["sleep"])
    return {"changed": False, "elapsed": int(time.monotonic() - started)}


def until_answer(call: ActionCall, timeout: float, pause: float) -> None:
    """Return once the host's helper answers. Raises TaskError after `timeout` seconds."""
    started = time.monotonic()
    while True:
        try:
            connection, _ = call.connect()
            connection.close()
            call.remote("ping", {"data": "pong"}, check=False)
            return
        except Unreachable as error:
            if time.monotonic() - started > timeout:
                raise TaskError(f"timed out waiting for the host: {error}", elapsed=int(timeout)) from error
            call.wait(pause)
