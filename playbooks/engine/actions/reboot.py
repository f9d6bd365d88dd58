"""Restarts the host and waits until it is back: another boot id, and the test command succeeds."""

from __future__ import annotations

import time

from playbooks.engine.actions.context import ActionCall, Result
from playbooks.engine.actions.wait_for_connection import until_answer
from playbooks.engine.helper.options import Option
from playbooks.errors import TaskError, Unreachable

OPTIONS = {
    "pre_reboot_delay": Option("int", default=0),
    "post_reboot_delay": Option("int", default=0),
    "reboot_timeout": Option("int", default=600),
    "connect_timeout": Option("int"),
    "test_command": Option(default="whoami"),
    "msg": Option(default="Reboot initiated by Ansible"),
    "search_paths": Option("list", default=("/sbin", "/bin", "/usr/sbin", "/usr/bin", "/usr/local/sbin")),
    "boot_time_command": Option(default="cat /proc/sys/kernel/random/boot_id"),
    "reboot_command": Option(),
}


def run(call: ActionCall) -> Result:
    """`rebooted` and `elapsed` seconds."""
    if call.connect()[0].settings.kind == "local":
        raise TaskError(
            "Running reboot with local connection would reboot the control node.", rebooted=False, elapsed=0
        )
    if call.check:
        return {"changed": True, "elapsed": 0, "rebooted": True}
    started = time.monotonic()
    before = _shell(call, call["boot_time_command"])
    paths = ":".join(call["search_paths"])
    command = call["reboot_command"] or f"PATH={paths}:$PATH shutdown -r +0 '{call['msg']}'"
    try:
        # That the host goes away while it answers is no fault; that it refuses to is one.
        _shell(call, f"sleep {call['pre_reboot_delay']}; {command}")
    except TaskError as error:
        raise TaskError(f"Reboot command failed: {error}", rebooted=False, elapsed=0) from error
    except Unreachable:
        pass
    try:
        _until_booted_anew(call, started, before)
    except TaskError as error:
        raise TaskError(str(error), rebooted=True, elapsed=int(time.monotonic() - started)) from error
    call.wait(call["post_reboot_delay"])
    _shell(call, call["test_command"])
    return {"changed": True, "rebooted": True, "elapsed": int(time.monotonic() - started)}


def _until_booted_anew(call: ActionCall, started: float, before: str) -> None:
    while True:
        call.wait(1)
        left = call["reboot_timeout"] - (time.monotonic() - started)
        if left <= 0:
            raise TaskError("Timed out waiting for the host to come back")
        until_answer(call, left, 1)
        try:
            if _shell(call, call["boot_time_command"]) != before:
                return
        except Unreachable:
            continue


def _shell(call: ActionCall, command: str) -> str:
    parameters = {"cmd": command, "argv": None, "chdir": None, "creates": None, "removes": None, "executable": None}
    result = call.remote("shell", {**parameters, "stdin": None, "strip_empty_ends": True}, check=False)
    if result.get("failed"):
        raise TaskError(f"{command!r} failed: {result.get('msg')}", **result)
    return str(result["stdout"])
