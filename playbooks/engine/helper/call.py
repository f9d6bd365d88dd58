"""One task on its host, as its module sees it: parameters, processes, and files that come and go.

Invariant: a call leaves the helper as it found it: working directory, environment and umask belong to the children
it starts, never to the helper, since other calls run at the same time.
"""

from __future__ import annotations

import contextlib
import os
import queue
import re
import shlex
import shutil
import signal
import subprocess
import threading
from typing import Any, BinaryIO, Iterator, Mapping, NamedTuple, Protocol, Sequence

from playbooks.engine.helper import frames

_VARIABLE = re.compile(r"\$(\w+|\{[^}]*\})", re.ASCII)


def filled_in(word: str, environment: Mapping[str, str]) -> str:
    """A word with the variables that are known in it, and the home at its beginning, as an environment has them."""
    known = _VARIABLE.sub(lambda found: environment.get(found.group(1).strip("{}"), found.group()), word)
    if known == "~" or known.startswith("~/"):
        return environment.get("HOME", os.path.expanduser("~")) + known[1:]
    return os.path.expanduser(known)


class Failure(Exception):
    """The task failed: the message, and what else the result says."""

    def __init__(self, message: str, **result: Any) -> None:
        super().__init__(message)
        self.result = result


class Sink(Protocol):
    """Takes bytes."""

    def write(self, data: bytes, /) -> Any: ...


class Completed(NamedTuple):
    """A finished child: exit status, and what it wrote."""

    status: int
    out: str
    err: str


class Call:
    """Handed to a module's `run`."""

    def __init__(self, identity: int, request: dict[str, Any], writer: frames.Writer) -> None:
        self.identity = identity
        self.request = request
        self.module: str = request["module"]
        # Seconds that a job may take which is begun and not waited for; None if the module is run here and now.
        self.background: float | None = request.get("background")
        self.parameters: dict[str, Any] = request["parameters"]
        self.check: bool = request.get("check", False)
        self.diff: bool = request.get("diff", False)
        self.environment: dict[str, str] = request.get("environment") or {}
        self.incoming: queue.Queue[frames.Frame] = queue.Queue(maxsize=64)
        self._writer = writer
        self._children: set[subprocess.Popen[bytes]] = set()
        self._lock = threading.Lock()
        self._cancelled = False

    def __getitem__(self, name: str) -> Any:
        return self.parameters[name]

    def filled_in(self, word: str) -> str:
        """A word with the variables that the task's environment has."""
        return filled_in(word, {**os.environ, **self.environment})

    def run(
        self,
        command: str | Sequence[str],
        *,
        input: bytes | None = None,
        cwd: str | None = None,
        environment: dict[str, str] | None = None,
        executable: str | None = None,
        umask: int | None = None,
    ) -> Completed:
        """Run a child to its end; a string goes through the shell. Raises OSError if it cannot start."""
        child = subprocess.Popen(
            command,
            shell=isinstance(command, str),
            executable=executable,
            stdin=subprocess.DEVNULL if input is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=cwd,
            env={**os.environ, **self.environment, **(environment or {})},
            start_new_session=True,
            preexec_fn=None if umask is None else (lambda: os.umask(umask) and None),
        )
        with self._lock:
            self._children.add(child)
        try:
            if self._cancelled:
                self._end(child)
            out, err = child.communicate(input)
        finally:
            with self._lock:
                self._children.discard(child)
        return Completed(child.returncode, _text(out), _text(err))

    @contextlib.contextmanager
    def ending(self, child: subprocess.Popen[bytes]) -> Iterator[None]:
        """A child that a module started by itself, and leads a session: it ends with this, or when cancelled."""
        with self._lock:
            self._children.add(child)
        try:
            if self._cancelled:
                self._end(child)
            yield
        finally:
            with self._lock:
                self._children.discard(child)
            if child.poll() is None:
                self._end(child)
                child.wait()

    def checked(self, command: Sequence[str], *, input: bytes | None = None, what: str = "") -> Completed:
        """`run`, where an exit status other than 0 is the task's failure."""
        try:
            done = self.run(command, input=input, environment={"LC_ALL": "C"})
        except OSError as error:
            raise Failure(f"{what or command[0]}: {error.strerror}") from error
        if done.status != 0:
            reason = (done.err.strip() or done.out.strip() or "no message").splitlines()[-1]
            raise Failure(
                "{} failed with exit status {}: {}".format(what or " ".join(command), done.status, reason),
                rc=done.status,
                stdout=done.out,
                stderr=done.err,
                cmd=" ".join(map(shlex.quote, [shutil.which(command[0]) or command[0], *command[1:]])),
            )
        return done

    def receive(self, sink: Sink) -> None:
        """Ask the engine for this call's file and write it to `sink`. Raises Failure if it gives up."""
        self._writer.write_json(frames.NEED, self.identity, {})
        while True:
            frame = self.incoming.get()
            if frame.kind == frames.END:
                if frame.body:
                    raise Failure(frame.body.decode("utf-8", "replace"))
                return
            sink.write(frame.body)

    def send(self, source: BinaryIO) -> None:
        """Stream a file to the engine."""
        while True:
            chunk = source.read(frames.CHUNK)
            if not chunk:
                break
            self._writer.write(frames.DATA, self.identity, chunk)
        self._writer.write(frames.END, self.identity)

    def cancel(self) -> None:
        """End this call's children; its module then fails or returns what it has."""
        with self._lock:
            self._cancelled = True
            for child in self._children:
                self._end(child)
        self.incoming.put(frames.Frame(frames.END, self.identity, b"the task was cancelled"))

    @staticmethod
    def _end(child: subprocess.Popen[bytes]) -> None:
        try:
            os.killpg(child.pid, signal.SIGKILL)
        except ProcessLookupError:
            return


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")
