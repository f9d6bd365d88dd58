"""Byte pipes to a process on a host: an SSH channel or a child on this machine, with one face.

Invariant: the process's standard error is in its standard output until the helper greets; then frames only.
"""

from __future__ import annotations

import os
import signal
import subprocess
from typing import IO, Protocol

import paramiko


class Pipe(Protocol):
    """A running process: `read` gives what is there (b"" at its end), `read(n)` waits for up to n bytes."""

    def read(self, count: int) -> bytes: ...

    def write(self, data: bytes) -> object: ...

    def flush(self) -> None: ...

    def close(self) -> None: ...

    def status(self) -> int: ...


class ChannelPipe:
    """A command over SSH."""

    def __init__(self, channel: paramiko.Channel) -> None:
        self._channel = channel
        self._buffer = b""

    def read(self, count: int) -> bytes:
        """Up to `count` bytes; b"" once the command has ended."""
        if not self._buffer:
            self._buffer = self._channel.recv(max(count, 65536))
        taken, self._buffer = self._buffer[:count], self._buffer[count:]
        return taken

    def write(self, data: bytes) -> object:
        """Send all of `data`. Raises OSError when the channel is closed."""
        self._channel.sendall(data)
        return None

    def flush(self) -> None:
        """Nothing waits on this side."""

    def close(self) -> None:
        """Close the channel; the command sees the end of its input."""
        self._channel.close()

    def status(self) -> int:
        """The command's exit status, -1 if the connection went first."""
        return self._channel.recv_exit_status()


class ProcessPipe:
    """A command on this machine."""

    def __init__(self, command: list[str]) -> None:
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
        )
        assert self._process.stdin is not None and self._process.stdout is not None
        self._input: IO[bytes] = self._process.stdin
        self._output: IO[bytes] = self._process.stdout

    def read(self, count: int) -> bytes:
        """Up to `count` bytes; b"" once the command has ended."""
        return self._output.read1(count) if hasattr(self._output, "read1") else self._output.read(count)

    def write(self, data: bytes) -> object:
        """Send all of `data`."""
        return self._input.write(data)

    def flush(self) -> None:
        """Hand what was written to the process."""
        self._input.flush()

    def close(self) -> None:
        """End the command: the end of its input first, then by force."""
        try:
            self._input.close()
        except BrokenPipeError:
            self._input = self._output
        try:
            self._process.wait(timeout=2)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._output.close()

    def status(self) -> int:
        """The command's exit status."""
        return self._process.wait()
