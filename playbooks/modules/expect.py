"""Runs a program on a terminal of its own and answers what it asks.

Each of `responses` is a pattern and what is typed when the program has written something that matches it; the one that
matches first wins. The time-out counts anew from each answer.
"""

from __future__ import annotations

import datetime
import fcntl
import os
import pty
import re
import select
import shlex
import struct
import subprocess
import termios
import time
from typing import Any, Iterator

from playbooks.engine.helper.call import Call, Failure
from playbooks.engine.helper.options import Option

OPTIONS = {
    "command": Option(required=True),
    "responses": Option("dict", required=True),
    "timeout": Option("raw", default=30),
    "echo": Option("bool", default=False),
    "chdir": Option("path"),
    "creates": Option("path"),
    "removes": Option("path"),
}
SUPPORTS_CHECK = False


def run(call: Call) -> dict[str, Any]:
    """Ansible's result of `expect`."""
    command = call["command"]
    for name, there in (("creates", True), ("removes", False)):
        if call[name] and os.path.exists(os.path.expanduser(call[name])) is there:
            word = "exists" if there else "does not exist"
            return {"cmd": command, "stdout": f"skipped, since {call[name]} {word}", "changed": False, "rc": 0}
    if not command.strip():
        raise Failure("no command given", rc=256)
    answers = [(re.compile(str(key).encode(), re.DOTALL), _answers(key, value)) for key, value in _responses(call)]
    begun = datetime.datetime.now()
    out, status = _converse(call, shlex.split(command), answers)
    ended = datetime.datetime.now()
    result: dict[str, Any] = {
        "cmd": command, "stdout": out.decode("utf-8", "surrogateescape").rstrip("\r\n"), "rc": status,
        "start": str(begun), "end": str(ended), "delta": str(ended - begun), "changed": True,
    }  # fmt: skip
    if status != 0:
        raise Failure("command exceeded timeout" if status is None else "non-zero return code", **result)
    return result


def _responses(call: Call) -> Any:
    try:
        return [(key, value) for key, value in call["responses"].items() if re.compile(str(key))]
    except re.error as error:
        raise Failure(f"responses: {error.pattern!r} is no pattern: {error}") from error


def _answers(question: str, value: Any) -> Iterator[bytes]:
    """What to type, time after time: one text for ever, or a list until its end."""
    if isinstance(value, list):
        for text in value:
            yield _line(text)
        raise Failure(f"No remaining responses for '{question}'")
    while True:
        yield _line(value)


def _line(text: Any) -> bytes:
    return str(text).rstrip("\n").encode() + b"\n"


def _converse(call: Call, words: list[str], answers: list[Any]) -> tuple[bytes, int | None]:
    """All that the program writes, and its exit status: None if it was ended, for its silence or by others."""
    mine, its = pty.openpty()
    try:
        fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        if not call["echo"]:
            settings = termios.tcgetattr(its)
            settings[3] &= ~termios.ECHO
            termios.tcsetattr(its, termios.TCSANOW, settings)
        try:
            child = subprocess.Popen(
                words, stdin=its, stdout=its, stderr=its, cwd=call["chdir"], env={**os.environ, **call.environment},
                start_new_session=True, preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0) and None,
            )  # fmt: skip
        except FileNotFoundError as error:
            if call["chdir"] and not os.path.isdir(call["chdir"]):
                raise Failure(f"{call['chdir']}: {error.strerror}") from error
            raise Failure(f"The command was not found or was not executable: {words[0]}.") from error
        finally:
            os.close(its)
        with call.ending(child):
            return _listen(mine, child, answers, call["timeout"])
    finally:
        os.close(mine)


def _listen(
    terminal: int, child: subprocess.Popen[bytes], answers: list[Any], timeout: Any
) -> tuple[bytes, int | None]:
    said, answered = b"", 0
    patience = _patience(timeout)
    deadline = None if patience is None else time.monotonic() + patience
    while True:
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        if not select.select([terminal], [], [], left)[0]:
            return said, None
        try:
            chunk = os.read(terminal, 65536)
        except OSError:
            chunk = b""
        if not chunk:
            status = child.wait()
            # Ansible cannot tell a program that a signal ended from one that it gave up on.
            return said, None if status < 0 else status
        said += chunk
        while True:
            found = _first(said, answered, answers)
            if found is None:
                break
            answered, answer = found
            os.write(terminal, answer)
            deadline = None if patience is None else time.monotonic() + patience


def _patience(timeout: Any) -> int | None:
    try:
        return None if timeout is None else int(timeout)
    except (TypeError, ValueError) as error:
        kind = type(timeout).__name__
        raise Failure(f"argument 'timeout' is of type {kind} and we were unable to convert to int: {error}") from error


def _first(said: bytes, answered: int, answers: list[Any]) -> tuple[int, bytes] | None:
    """Where the earliest question after the last answer ends, and what to type."""
    matches = [(match.start(), number) for number, (pattern, _) in enumerate(answers)
               if (match := pattern.search(said, answered))]  # fmt: skip
    if not matches:
        return None
    pattern, texts = answers[min(matches)[1]]
    return pattern.search(said, answered).end(), next(texts)
