"""Exec and attach on connections taken over from Podman.

Without a terminal the output comes in frames: a byte for the stream, three zero bytes, four for the length.
Invariant: `close` may be called from any task and ends a blocked `read`.
Source: Docker Engine API, "Stream format" of container attach, which Podman follows.
"""

from __future__ import annotations

import os
import signal
import socket
import struct

from agents.kubelet.runtime.interface import STDOUT, ContainerRuntimeError
from agents.kubelet.runtime.podman_api import PodmanApi

_HEADER = struct.Struct(">BxxxI")
_CHUNK = 65536


class _Stream:
    """Frames out of, bytes into a hijacked connection."""

    def __init__(self, sock: socket.socket, terminal: bool) -> None:
        self._sock = sock
        self._terminal = terminal

    def read(self) -> tuple[int, bytes] | None:
        """The next frame, or None at the end."""
        try:
            if self._terminal:
                data = self._sock.recv(_CHUNK)
                return (STDOUT, data) if data else None
            header = self._exactly(_HEADER.size)
            if header is None:
                return None
            channel, length = _HEADER.unpack(header)
            payload = self._exactly(length)
        except OSError:
            return None
        return None if payload is None else (channel, payload)

    def write(self, data: bytes) -> None:
        """Bytes to standard input; what nobody reads any more is dropped."""
        try:
            self._sock.sendall(data)
        except OSError as error:
            raise ContainerRuntimeError(f"the process does not read its input: {error}") from error

    def close_stdin(self) -> None:
        """Half-close: Podman passes the end on."""
        try:
            self._sock.shutdown(socket.SHUT_WR)
        except OSError as error:
            raise ContainerRuntimeError(f"the stream has ended: {error}") from error

    def close(self) -> None:
        """End it, also under a blocked reader."""
        try:
            self._sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            self._sock.close()
            return
        self._sock.close()

    def _exactly(self, count: int) -> bytes | None:
        data = b""
        while len(data) < count:
            chunk = self._sock.recv(min(_CHUNK, count - len(data)))
            if not chunk:
                return None
            data += chunk
        return data


class ExecSession(_Stream):
    """A command in a running container."""

    def __init__(
        self, api: PodmanApi, container_id: str, command: tuple[str, ...], *, terminal: bool, stdin: bool
    ) -> None:
        self._api = api
        request = {
            "AttachStdin": stdin,
            "AttachStdout": True,
            "AttachStderr": True,
            "Tty": terminal,
            "Cmd": list(command),
        }
        self.exec_id: str = api.post(f"/containers/{container_id}/exec", request)["Id"]
        super().__init__(api.upgrade(f"/exec/{self.exec_id}/start", {"Detach": False, "Tty": terminal}), terminal)

    def resize(self, width: int, height: int) -> None:
        self._api.post(f"/exec/{self.exec_id}/resize", query={"w": str(width), "h": str(height)})

    def exit_code(self) -> int:
        return int(self._api.get(f"/exec/{self.exec_id}/json").get("ExitCode") or 0)

    def kill(self) -> None:
        found = self._api.get(f"/exec/{self.exec_id}/json")
        process = int(found.get("Pid") or 0)
        if found.get("Running") and process > 1:
            try:
                os.kill(process, signal.SIGKILL)
            except ProcessLookupError:
                return


class AttachSession(_Stream):
    """The streams of a container's own process."""

    def __init__(self, api: PodmanApi, container_id: str, *, terminal: bool, stdin: bool) -> None:
        self._api = api
        self._container_id = container_id
        query = {"stream": "true", "stdout": "true", "stderr": "true", "stdin": "true" if stdin else "false"}
        super().__init__(api.upgrade(f"/containers/{container_id}/attach", None, query), terminal)

    def resize(self, width: int, height: int) -> None:
        self._api.post(f"/containers/{self._container_id}/resize", query={"w": str(width), "h": str(height)})

    def exit_code(self) -> int:
        return 0

    def kill(self) -> None:
        return None
