"""One host as the executor sees it: run a module, run a bare command, hang up.

Invariant: at most one SSH connection a host and one helper for each user on it, opened when first needed.
"""

from __future__ import annotations

import getpass
import shlex
import threading
from collections.abc import Mapping
from typing import Any, BinaryIO, NamedTuple

import paramiko
from fabric import Connection

from playbooks.engine.connection import ssh
from playbooks.engine.connection.helper import Helper, command, under
from playbooks.engine.connection.pipes import ChannelPipe, Pipe, ProcessPipe
from playbooks.engine.connection.settings import Become, Settings
from playbooks.engine.helper.call import Sink
from playbooks.errors import Unreachable


class RawResult(NamedTuple):
    """What a bare command said: its status and its output, standard error included."""

    status: int
    output: str


class HostConnection:
    """All channels to one host."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._connection: Connection | None = None
        self._helpers: dict[Become | None, Helper] = {}
        self._lock = threading.RLock()

    def request(
        self,
        message: Mapping[str, Any],
        become: Become | None,
        *,
        source: BinaryIO | None = None,
        sink: Sink | None = None,
        timeout: float | None = None,
    ) -> dict[str, Any]:
        """Run a module as a user. Raises Unreachable, TimeoutError."""
        helper = self._helper(self._effective(become))
        return helper.request(message, source=source, sink=sink, timeout=timeout)

    def raw(self, text: str, become: Become | None, executable: str = "/bin/sh") -> RawResult:
        """Run a command through the host's shell, without Python there. Raises Unreachable."""
        pipe = self._pipe(under(self._effective(become), f"{executable} -c {shlex.quote(text)}"))
        parts = []
        while part := pipe.read(65536):
            parts.append(part)
        status = pipe.status()
        pipe.close()
        if status == -1:
            raise Unreachable(f"{self.settings.host}: the connection ended while a raw command ran")
        return RawResult(status, b"".join(parts).decode("utf-8", "replace"))

    def close(self) -> None:
        """End the helpers and the connection; the next request opens them again."""
        with self._lock:
            for helper in self._helpers.values():
                helper.close()
            self._helpers.clear()
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def _effective(self, become: Become | None) -> Become | None:
        user = self.settings.user or getpass.getuser()
        return None if become is not None and become.user == user else become

    def _helper(self, become: Become | None) -> Helper:
        with self._lock:
            helper = self._helpers.get(become)
            if helper is None or not helper.alive:
                if helper is not None:
                    self.close()
                pipe = self._pipe(command(self.settings.python, become))
                helper = Helper(self.settings.host, pipe)
                helper.start(become, self.settings.python)
                self._helpers[become] = helper
            return helper

    def _pipe(self, shell_command: str) -> Pipe:
        if self.settings.kind == "local":
            return ProcessPipe(["/bin/sh", "-c", shell_command])
        with self._lock:
            if self._connection is None:
                self._connection = ssh.connect(self.settings)
            try:
                channel = self._connection.create_session()
                channel.set_combine_stderr(True)
                channel.exec_command(shell_command)
            except (paramiko.SSHException, OSError, EOFError) as error:
                raise Unreachable(f"{self.settings.host}: the connection was lost: {error}") from error
        return ChannelPipe(channel)
