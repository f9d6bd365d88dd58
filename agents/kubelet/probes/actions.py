"""Asks a container something: an HTTP request, a connection, or a command run in it.

Probes and lifecycle hooks are described by the same four handlers and both use this.

Invariant: an action ends within its timeout and raises nothing; its answer is (well, sentence).
Source: kubelet's probe/{http,tcp,exec} and lifecycle handlers.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass

from agents.kubelet import grpc
from agents.kubelet.probes import http
from agents.kubelet.probes.target import Answer, Target, bracketed, cause, resolve_port
from agents.kubelet.runtime.interface import ContainerRuntime, ContainerRuntimeError, Session
from api.objects import Object
from api.protobuf import wire
from api.runtime import Runtime

_SERVING = 1
_OUTPUT_LIMIT = 10 * 1024


@dataclass(frozen=True, slots=True)
class Actions:
    """Performs handlers."""

    clock: Runtime
    runtime: ContainerRuntime

    def perform(self, handler: Object, target: Target, timeout: float) -> Answer:
        """The answer to one handler (`exec`, `httpGet`, `tcpSocket`, `grpc` or `sleep`)."""
        if handler.get("exec") is not None:
            return self.execute(target.container_id, tuple(handler["exec"].get("command") or ()), timeout)
        if handler.get("httpGet") is not None:
            return http.get(self.clock, handler["httpGet"], target, timeout)
        if handler.get("tcpSocket") is not None:
            return connect(handler["tcpSocket"], target, timeout)
        if handler.get("grpc") is not None:
            return grpc_health(handler["grpc"], target, timeout)
        if handler.get("sleep") is not None:
            self.clock.sleep(min(timeout, float(handler["sleep"].get("seconds") or 0)))
            return Answer(True)
        return Answer(False, "the handler is of a kind that this node does not know", unknown=True)

    def execute(self, container_id: str, command: tuple[str, ...], timeout: float) -> Answer:
        """Run a command; well if it ends with 0 in time. `text` is its output."""
        try:
            session = self.runtime.exec(container_id, command, terminal=False, stdin=False)
        except ContainerRuntimeError as error:
            return Answer(False, str(error), unknown=True)
        finished = self.clock.event()
        expired = self.clock.event()
        self.clock.spawn("exec-timeout", self._limit, session, timeout, finished, expired)
        try:
            output = _drain(session)
            finished.set()
            if expired.is_set():
                return Answer(False, f'command "{" ".join(command)}" timed out')
            code = session.exit_code()
        except ContainerRuntimeError as error:
            return Answer(False, str(error), unknown=True)
        finally:
            finished.set()
            session.close()
        return Answer(code == 0, output if code == 0 or output else f"command terminated with exit code {code}")

    def _limit(self, session: Session, timeout: float, finished: object, expired: object) -> None:
        if finished.wait(timeout):  # type: ignore[attr-defined]
            return
        expired.set()  # type: ignore[attr-defined]
        try:
            session.kill()
        finally:
            session.close()


def _drain(session: Session) -> str:
    output = b""
    while True:
        frame = session.read()
        if frame is None:
            return output[:_OUTPUT_LIMIT].decode("utf-8", "replace")
        if len(output) < _OUTPUT_LIMIT:
            output += frame[1]


def connect(handler: Object, target: Target, timeout: float) -> Answer:
    """Open a TCP connection; well if it opens."""
    port = resolve_port(handler.get("port"), target.spec)
    if port is None:
        return Answer(False, f"couldn't find port: {handler.get('port')!r}", unknown=True)
    host = handler.get("host") or target.address
    try:
        socket.create_connection((host, port), timeout=timeout).close()
    except OSError as error:
        return Answer(False, cause(error, f"{bracketed(host)}:{port}"))
    return Answer(True)


def grpc_health(handler: Object, target: Target, timeout: float) -> Answer:
    """Ask grpc.health.v1.Health; well if the service is SERVING."""
    port = int(handler["port"])
    address = f"{bracketed(target.address)}:{port}"
    request = wire.bytes_field(1, handler["service"].encode()) if handler.get("service") else b""
    try:
        status = _health_status(
            grpc.call(
                lambda: socket.create_connection((target.address, port), timeout=timeout),
                "/grpc.health.v1.Health/Check",
                request,
                authority=address,
                timeout=timeout,
                agent=http.AGENT,
            )
        )
    except grpc.GrpcError as error:
        return _grpc_failure(error, address, timeout)
    except wire.Malformed as error:
        return Answer(False, f"health rpc probe failed: {error}")
    return Answer(True) if status == _SERVING else Answer(False, f"service unhealthy (responded with {status!r})")


def _health_status(answer: bytes) -> int:
    """HealthCheckResponse.status. Raises wire.Malformed."""
    return next((int(value) for number, kind, value in wire.fields(answer) if number == 1 and kind == wire.VARINT), 0)


def _grpc_failure(error: grpc.GrpcError, address: str, timeout: float) -> Answer:
    if error.code == grpc.UNIMPLEMENTED:
        return Answer(False, "this server does not implement the grpc health protocol (grpc.health.v1.Health): "
                      f"rpc error: code = Unimplemented desc = {error}")  # fmt: skip
    if error.code == grpc.DEADLINE_EXCEEDED:
        return Answer(False, f"timeout: health rpc did not complete within {timeout:g}s")
    if error.code == grpc.UNAVAILABLE:
        return Answer(False, f'timeout: failed to connect service "{address}" within {timeout:g}s: {error}')
    return Answer(False, f"health rpc probe failed: {error}")
