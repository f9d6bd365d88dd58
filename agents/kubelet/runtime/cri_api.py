"""Calls of the Container Runtime Interface on a runtime's unix socket.

Invariant: every failure is a `ContainerRuntimeError` with the runtime's own cause in it.
Source: k8s.io/cri-api runtime/v1 services RuntimeService and ImageService.
"""

from __future__ import annotations

import socket
from typing import Any

from agents.kubelet import grpc
from agents.kubelet.runtime import cri_messages
from agents.kubelet.runtime.interface import ContainerRuntimeError, ImageNotPresent, NoSuchContainer, RuntimeDown
from api.protobuf import wire

_AGENT = "kubelet/v1.37.0+wherry"
_TIMEOUT = 120.0
_BOILERPLATE = ("failed to create containerd task: ", "failed to create shim task: ")


class StillRunning(RuntimeDown):
    """The call did not end in its time."""


class CriApi:
    """The runtime behind one unix socket."""

    def __init__(self, socket_path: str) -> None:
        self.socket_path = socket_path

    def runtime(self, method: str, kinds: str, values: dict[str, Any], timeout: float | None = _TIMEOUT) -> Any:
        """A call of RuntimeService; `kinds` names the request's and the answer's message: `A -> B`."""
        return self._call("runtime.v1.RuntimeService", method, kinds, values, timeout)

    def images(self, method: str, kinds: str, values: dict[str, Any], timeout: float | None = _TIMEOUT) -> Any:
        """A call of ImageService."""
        return self._call("runtime.v1.ImageService", method, kinds, values, timeout)

    def own(self, service: str, method: str, kinds: str, values: dict[str, Any]) -> Any:
        """A call of a service of containerd's own, on what belongs to Kubernetes."""
        headers = (("containerd-namespace", "k8s.io"),)
        return self._call(f"containerd.services.{service}", method, kinds, values, _TIMEOUT, headers)

    def _call(
        self,
        service: str,
        method: str,
        kinds: str,
        values: dict[str, Any],
        timeout: float | None,
        headers: tuple[tuple[str, str], ...] = (),
    ) -> Any:
        request, _, answer = kinds.partition(" -> ")
        try:
            body = grpc.call(
                self._connect,
                f"/{service}/{method}",
                cri_messages.encode(request, values),
                authority="localhost",
                timeout=timeout,
                agent=_AGENT,
                headers=headers,
            )
            return cri_messages.decode(answer, body) if answer else {}
        except grpc.GrpcError as error:
            raise self._translated(error) from error
        except (wire.Malformed, UnicodeDecodeError) as error:
            raise ContainerRuntimeError(f"the runtime's answer to {method} cannot be read: {error}") from error

    def _connect(self) -> socket.socket:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.connect(self.socket_path)
        except OSError:
            sock.close()
            raise
        return sock

    def _translated(self, error: grpc.GrpcError) -> ContainerRuntimeError:
        message = str(error)
        for part in _BOILERPLATE:
            message = message.replace(part, "")
        if error.code == grpc.UNAVAILABLE:
            return RuntimeDown(f"the container runtime does not answer on {self.socket_path}: {message}")
        if error.code == grpc.DEADLINE_EXCEEDED:
            return StillRunning(message)
        if "image" in message and "not found" in message:
            return ImageNotPresent(message)
        if error.code == grpc.NOT_FOUND or "not found" in message:
            return NoSuchContainer(message)
        return ContainerRuntimeError(message)
