"""The near side of the helper: starts it through the host's shell and exchanges frames with it.

Invariant: requests of several threads share the one process; each gets its own answer, or `Unreachable` when the
process or the connection ends before it came.
"""

from __future__ import annotations

import itertools
import queue
import shlex
import threading
from collections.abc import Mapping
from typing import Any, BinaryIO

from playbooks.engine.connection.archive import archive
from playbooks.engine.connection.pipes import Pipe
from playbooks.engine.connection.settings import Become
from playbooks.engine.helper import frames
from playbooks.engine.helper.call import Sink
from playbooks.errors import TaskError, Unreachable

_PROMPT = "wherry-sudo-password:"
_NO_PYTHON = "wherry-no-python"
_GREETING = "wherry-helper "
_NEED = "wherry-need"


def command(python: str, become: Become | None) -> str:
    """The shell command that starts the helper on a host."""
    found = archive()
    candidates = "/usr/bin/python3 python3 /usr/libexec/platform-python" if python.startswith("auto") else python
    script = (
        f"for p in {candidates}; do if command -v $p >/dev/null 2>&1; then "
        f"exec $p -I -c {shlex.quote(found.bootstrap)} {found.name}; fi; done; echo {_NO_PYTHON}; exit 127"
    )
    return under(become, f"/bin/sh -c {shlex.quote(script)}")


def under(become: Become | None, inner: str) -> str:
    """A shell command as it is run for another user."""
    if become is None:
        return inner
    ask = f"-S -p {_PROMPT}" if become.password else "-n"
    return f"{become.program} {become.flags} {ask} -u {shlex.quote(become.user)} -- {inner}"


class Helper:
    """One helper process. `start` returns it greeted; `request` runs a module there."""

    def __init__(self, host: str, pipe: Pipe) -> None:
        self.host = host
        self._pipe = pipe
        self._writer = frames.Writer(pipe)  # type: ignore[arg-type]
        self._waiting: dict[int, queue.SimpleQueue[frames.Frame | None]] = {}
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._closed = False

    def start(self, become: Become | None, python: str) -> None:
        """Answer sudo, send the archive if the host lacks it, and wait for the greeting.

        Raises Unreachable, and TaskError where the host answers but refuses: sudo, or no Python.
        """
        handshake = _Handshake(self.host, self._pipe, become, python)
        handshake.run()
        name = f"wherry-helper-{self.host}"
        threading.Thread(target=self._receive, args=(handshake,), name=name, daemon=True).start()

    @property
    def alive(self) -> bool:
        """Whether the process still answers, as far as is known."""
        return not self._closed

    def request(
        self,
        message: Mapping[str, Any],
        *,
        source: BinaryIO | None = None,
        sink: Sink | None = None,
        timeout: float | None = None,
    ) -> dict[str, Any]:
        """Run a module; `source` is the file it may ask for, `sink` takes what it sends.

        Raises Unreachable when the connection ends first, TimeoutError after `timeout` seconds.
        """
        answers: queue.SimpleQueue[frames.Frame | None] = queue.SimpleQueue()
        number = next(self._numbers)
        with self._lock:
            if self._closed:
                raise Unreachable(f"{self.host}: the connection is closed")
            self._waiting[number] = answers
        try:
            self._writer.write_json(frames.REQUEST, number, message)
            while True:
                frame = answers.get(timeout=timeout)
                if frame is None:
                    raise Unreachable(self._lost(message))
                if frame.kind == frames.RESULT:
                    result: dict[str, Any] = frames.decode(frame.body)
                    return result
                self._exchange(frame, number, source, sink)
        except queue.Empty:
            self._writer.write(frames.CANCEL, number)
            raise TimeoutError(f"no answer within {timeout:g} s") from None
        except OSError as error:
            raise Unreachable(self._lost(message)) from error
        finally:
            with self._lock:
                self._waiting.pop(number, None)

    def _exchange(self, frame: frames.Frame, number: int, source: BinaryIO | None, sink: Sink | None) -> None:
        if frame.kind == frames.DATA and sink is not None:
            sink.write(frame.body)
        elif frame.kind == frames.NEED:
            if source is None:
                self._writer.write(frames.END, number, b"the engine has no file for this task")
                return
            while chunk := source.read(frames.CHUNK):
                self._writer.write(frames.DATA, number, chunk)
            self._writer.write(frames.END, number)

    def close(self) -> None:
        """End the process."""
        self._closed = True
        self._pipe.close()

    def _lost(self, message: Mapping[str, Any]) -> str:
        return (
            f"{self.host}: the connection ended while module {message['module']} ran; whether it finished is not "
            "known: look at the host, then run the playbook again"
        )

    def _receive(self, stream: _Handshake) -> None:
        try:
            while True:
                frame = frames.read(stream)  # type: ignore[arg-type]
                answers = self._waiting.get(frame.call)
                if answers is not None:
                    answers.put(frame)
        except (frames.Closed, OSError, ValueError):
            with self._lock:
                self._closed = True
                for answers in self._waiting.values():
                    answers.put(None)


class _Handshake:
    """Reads what a host says before the helper greets, line by line; then only passes bytes through."""

    def __init__(self, host: str, pipe: Pipe, become: Become | None, python: str) -> None:
        self._host = host
        self._pipe = pipe
        self._become = become
        self._python = python
        self._buffer = b""
        self._said: list[str] = []
        self._asked = 0

    def run(self) -> None:
        """Return once the helper has greeted. Raises Unreachable, TaskError."""
        while True:
            line = self._line()
            if line.startswith(_GREETING):
                return
            if line == _NEED:
                data = archive().data
                self._pipe.write(f"{len(data):08x}".encode() + data)
                self._pipe.flush()
            elif line:
                self._said.append(line)

    def read(self, count: int) -> bytes:
        """Bytes after the greeting."""
        if self._buffer:
            taken, self._buffer = self._buffer[:count], self._buffer[count:]
            return taken
        return self._pipe.read(count)

    def _line(self) -> str:
        while b"\n" not in self._buffer:
            if self._buffer.endswith(_PROMPT.encode()):
                self._buffer = b""
                self._answer()
            part = self._pipe.read(4096)
            if not part:
                self._said.append(self._buffer.decode("utf-8", "replace").strip())
                raise self._refusal() or Unreachable(self._explain())
            self._buffer += part
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line.decode("utf-8", "replace").strip().removeprefix(_PROMPT)

    def _answer(self) -> None:
        self._asked += 1
        if self._asked > 1 or self._become is None:
            self._pipe.close()
            raise TaskError(f"{self._host}: sudo refused the password; correct ansible_become_password")
        self._pipe.write(self._become.password.encode() + b"\n")
        self._pipe.flush()

    def _refusal(self) -> TaskError | None:
        """What the host, which answered, would not do; None if the fault is another."""
        said = [line for line in self._said if line]
        text = "\n".join(said)
        user = self._become.user if self._become else "the login user"
        reason = ""
        if _NO_PYTHON in text:
            wanted = "python3" if self._python.startswith("auto") else self._python
            reason = (
                f"no {wanted} on the host; install it with a `raw` task and gather_facts: false, "
                "or set ansible_python_interpreter"
            )
        elif "incorrect password" in text or "no password was provided" in text or "try again" in text:
            reason = "sudo refused the password; correct ansible_become_password"
        elif "password is required" in text or "a terminal is required" in text:
            reason = f"sudo to {user} wants a password; set ansible_become_password"
        elif "not in the sudoers" in text or "not allowed to" in text:
            reason = f"sudo to {user} is not allowed: {said[-1]}"
        elif self._become is not None and f"{self._become.program}: not found" in text:
            reason = f"{self._become.program} is not there to become {user}; install it, or set ansible_become_exe"
        elif self._become is not None and (words := next((line for line in said if line.startswith("sudo: ")), "")):
            reason = f"sudo to {user} failed: {words.removeprefix('sudo: ')}"
        return TaskError(f"{self._host}: {reason}") if reason else None

    def _explain(self) -> str:
        said = [line for line in self._said if line]
        status = self._pipe.status()
        reason = said[-1] if said else "without a message"
        return f"{self._host}: the helper did not start (exit status {status}): {reason}"
