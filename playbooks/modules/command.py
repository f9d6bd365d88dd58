"""Runs a program without a shell."""

from __future__ import annotations

import glob
import os
import shlex
import time
from datetime import datetime
from typing import Any

from playbooks.engine.helper.call import Call, Failure
from playbooks.engine.helper.options import Option

OPTIONS = {
    "cmd": Option(aliases=("_raw_params",)),
    "argv": Option("list", elements="str"),
    "chdir": Option("path"),
    "creates": Option("path"),
    "removes": Option("path"),
    "stdin": Option(),
    "stdin_add_newline": Option("bool", default=True),
    "strip_empty_ends": Option("bool", default=True),
    "expand_argument_vars": Option("bool", default=True),
    "executable": Option("path"),
}
FREE_FORM = "cmd"


def run(call: Call) -> dict[str, Any]:
    """Ansible's result of `command`."""
    if call["argv"] and call["cmd"]:
        raise Failure("parameters are mutually exclusive: _raw_params|cmd|argv")
    if call["cmd"] is None and call["argv"] is None:
        raise Failure("one of the following is required: _raw_params, cmd, argv")
    words = [str(word) for word in call["argv"]] if call["argv"] else shlex.split(call["cmd"] or "")
    if not words:
        return execute(call, None)
    if not call["expand_argument_vars"]:
        return execute(call, words)
    return execute(call, words, list(map(call.filled_in, words)))


def execute(call: Call, command: str | list[str] | None, expanded: list[str] | None = None) -> dict[str, Any]:
    """Run a command (text goes through the shell) with what `command` and `shell` have in common.

    The result tells of the command as it was given, also where what is run is `expanded`.
    """
    chdir = call["chdir"] and os.path.expanduser(call["chdir"])
    result: dict[str, Any] = {"cmd": command, "rc": 0, "stdout": "", "stderr": "", "changed": False}
    if chdir and not os.path.isdir(chdir):
        reason = f"Unable to change directory before execution: {chdir} is no directory"
        raise Failure(reason, **{**result, "rc": None})
    reason = _guard(call, chdir)
    if reason:
        return {
            **result,
            "msg": f"{'Would' if call.check else 'Did'} not run command since {reason}",
            "stdout": "skipped, since " + reason.replace("'", ""),
        }
    if call.check:
        if call["creates"] or call["removes"]:
            return {**result, "changed": True, "msg": "Command would have run if not in check mode"}
        return {**result, "skipped": True, "msg": "Command would have run if not in check mode"}
    if command is None:
        raise Failure("the command is empty: there is nothing to run", cmd=None, rc=257)
    return _run(call, command if expanded is None else expanded, chdir, result)


def _run(call: Call, command: str | list[str], chdir: str | None, result: dict[str, Any]) -> dict[str, Any]:
    stdin = call["stdin"]
    if stdin is not None and call.parameters.get("stdin_add_newline", True) and not stdin.endswith("\n"):
        stdin += "\n"
    executable = call["executable"] if isinstance(command, str) else None
    started = datetime.now()
    clock = time.monotonic()
    try:
        done = call.run(
            command, input=None if stdin is None else stdin.encode(), cwd=chdir or None, executable=executable
        )
    except OSError as error:
        words = [executable or "/bin/sh", "-c", command] if isinstance(command, str) else command
        result.update(rc=error.errno, cmd=" ".join(map(shlex.quote, words)))
        raise Failure(f"Error executing command: {error.strerror}: {error.filename}", **result) from error
    elapsed = time.monotonic() - clock
    strip = call["strip_empty_ends"]
    result.update(
        rc=done.status,
        stdout=done.out.rstrip("\r\n") if strip else done.out,
        stderr=done.err.rstrip("\r\n") if strip else done.err,
        start=str(started),
        end=str(datetime.now()),
        delta=f"0:00:{elapsed:09.6f}" if elapsed < 60 else str(datetime.now() - started),
        changed=True,
        msg="",
    )
    if done.status != 0:
        raise Failure("non-zero return code", **result)
    return result


def _guard(call: Call, chdir: str | None) -> str:
    """Why there is nothing to do: `creates` is there, or `removes` is not."""
    base = chdir or os.path.expanduser("~")
    creates, removes = call["creates"], call["removes"]
    if creates and glob.glob(os.path.join(base, os.path.expanduser(creates))):
        return f"'{creates}' exists"
    if removes and not glob.glob(os.path.join(base, os.path.expanduser(removes))):
        return f"'{removes}' does not exist"
    return ""
