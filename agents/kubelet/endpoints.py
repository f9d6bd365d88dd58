"""What the kubelet's server answers: logs, exec, attach, port-forward, pods, stats.

Invariant: a stream belongs to a pod of this node; whatever cannot be served is said in one sentence with a status.
Source: kubelet's server.go; core/v1 PodExecOptions, PodAttachOptions, PodLogOptions.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import flask
import orjson

from agents.kubelet import exposition, node_logs
from agents.kubelet.kubelet import Kubelet
from agents.kubelet.logs import LogOptions, missing, read_log
from agents.kubelet.pods import spec
from agents.kubelet.pods.performer import sandbox_name
from agents.kubelet.pods.view import views
from agents.kubelet.probes.actions import Actions
from agents.kubelet.runtime.interface import Container, ContainerRuntimeError, Session, State
from agents.kubelet.stats import summary
from agents.kubelet.streaming import handshake
from agents.kubelet.streaming.command_session import serve_command
from agents.kubelet.streaming.connections import SocketConnection, TunnelConnection, WebSocketConnection
from agents.kubelet.streaming.lasting_input import LastingInput
from agents.kubelet.streaming.log_messages import send_log
from agents.kubelet.streaming.port_forward import ChannelForward, SpdyForward, named_ports
from agents.kubelet.streaming.remote import RemoteStreams, SpdyStreams, Wanted, WebSocketStreams
from agents.kubelet.volumes.local import remove_directory
from agents.kubelet.volumes.payload import VolumeError
from agents.network.netlink import NetlinkError
from api.objects import Object, uid_of
from api.runtime import parse_timestamp
from api.serving import hijack

_COMMAND_PROTOCOLS = (
    handshake.CHANNELS_V5, handshake.CHANNELS_V4, handshake.CHANNELS_V4_BASE64, handshake.CHANNELS,
    handshake.CHANNELS_BASE64, handshake.UNNAMED,
)  # fmt: skip
_COMMAND_PROTOCOLS_SPDY = (handshake.CHANNELS_V5, handshake.CHANNELS_V4)
_LOG_PROTOCOLS = (handshake.BINARY, handshake.BASE64, handshake.UNNAMED)
_RUN_SECONDS = 60.0


class Refused(Exception):
    """A request that cannot be served: HTTP status and sentence."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def connected(candidates: list[socket.socket], port: int) -> socket.socket:
    """The first of an IPv4 and an IPv6 socket that reaches a port of loopback; the other is closed. Raises OSError."""
    failures = []
    for place, (sock, address) in enumerate(zip(candidates, ("127.0.0.1", "::1"), strict=True)):
        try:
            sock.connect((address, port))
        except OSError as error:
            failures.append(error)
            sock.close()
        else:
            for other in candidates[place + 1 :]:
                other.close()
            return sock
    raise failures[0]


class Endpoints:
    """The routes of one kubelet."""

    def __init__(self, kubelet: Kubelet) -> None:
        self._kubelet = kubelet

    def add_to(self, app: flask.Flask) -> None:
        """Register the routes."""
        both = ["GET", "POST"]
        for name, view, methods in (
            ("exec", self._exec, both),
            ("attach", self._attach, both),
            ("run", self._run, ["POST"]),
        ):
            app.add_url_rule(f"/{name}/<namespace>/<pod>/<container>", name, view, methods=methods)
            app.add_url_rule(f"/{name}/<namespace>/<pod>/<uid>/<container>", f"{name}-uid", view, methods=methods)
        app.add_url_rule("/portForward/<namespace>/<pod>", "portForward", self._port_forward, methods=both)
        app.add_url_rule("/portForward/<namespace>/<pod>/<uid>", "portForward-uid", self._port_forward, methods=both)
        app.add_url_rule("/containerLogs/<namespace>/<pod>/<container>", "containerLogs", self._logs)
        app.add_url_rule("/logs/", "logs", self._node_logs)
        app.add_url_rule("/logs/<path:name>", "logs-of", self._node_logs)
        app.add_url_rule("/pods", "pods", self._pods)
        app.add_url_rule("/runningpods/", "runningpods", self._running_pods)
        app.add_url_rule("/trace", "trace", self._trace)
        app.add_url_rule("/volumes", "volumes", self._remove_volume, methods=["DELETE"])
        app.add_url_rule("/stats/summary", "summary", self._summary)
        app.add_url_rule("/metrics/resource", "resource", self._resource_metrics)
        app.add_url_rule("/metrics/cadvisor", "cadvisor", self._cadvisor_metrics)
        app.add_url_rule("/metrics/probes", "probes", self._probe_metrics)
        app.register_error_handler(Refused, lambda error: _text(str(error), error.status))
        app.register_error_handler(ContainerRuntimeError, lambda error: _text(str(error), 500))

    def _pod(self, namespace: str, name: str) -> Object:
        pod = self._kubelet.pods.named(namespace, name)
        if pod is None:
            raise Refused(404, f'pod "{name}" not found in namespace "{namespace}" on this node')
        return pod

    def _running(self, namespace: str, name: str, container: str) -> tuple[Object, Container]:
        pod = self._pod(namespace, name)
        found = self._kubelet.view(uid_of(pod)).latest(container)
        if found is None or found.state is not State.RUNNING:
            raise Refused(404, f'container "{container}" of pod "{name}" is not running')
        return pod, found

    def _exec(self, namespace: str, pod: str, container: str, uid: str = "") -> flask.Response:
        _, found = self._running(namespace, pod, container)
        command = tuple(flask.request.args.getlist("command"))
        if not command:
            raise Refused(400, "you must specify at least 1 command for the container")
        wanted = _wanted()
        runtime = self._kubelet.runtime
        return self._stream(
            wanted, lambda: runtime.exec(found.id, command, terminal=wanted.terminal, stdin=wanted.stdin)
        )

    def _attach(self, namespace: str, pod: str, container: str, uid: str = "") -> flask.Response:
        owner, found = self._running(namespace, pod, container)
        described = spec.find_container(owner, container) or {}
        terminal = bool(described.get("tty"))
        wanted = _wanted(terminal)
        stdin = wanted.stdin and bool(described.get("stdin"))
        kubelet = self._kubelet

        def attached() -> Session:
            session = kubelet.runtime.attach(found.id, terminal=terminal, stdin=stdin)
            return LastingInput(kubelet.clock, session) if stdin and not described.get("stdinOnce") else session

        return self._stream(wanted, attached)

    def _run(self, namespace: str, pod: str, container: str, uid: str = "") -> flask.Response:
        _, found = self._running(namespace, pod, container)
        command = tuple(flask.request.args.getlist("cmd")) or tuple(flask.request.args.getlist("command"))
        actions = Actions(self._kubelet.clock, self._kubelet.runtime)
        answer = actions.execute(found.id, command, _RUN_SECONDS)
        return _text(answer.text, 200 if answer.ok else 500)

    def _stream(self, wanted: Wanted, open_session: Callable[[], Session]) -> flask.Response:
        environ = flask.request.environ
        agreement = _negotiate(environ, _COMMAND_PROTOCOLS, _COMMAND_PROTOCOLS_SPDY)
        session = open_session()
        connection = self._take_over(environ, agreement)
        streams: RemoteStreams
        if agreement.framing is handshake.Framing.WEBSOCKET:
            streams = WebSocketStreams(WebSocketConnection(connection), agreement.protocol)
        else:
            streams = spdy = SpdyStreams(connection, wanted)
            if not spdy.open():
                session.close()
                return _nothing()
        serve_command(self._kubelet.clock, session, streams)
        connection.close()
        return _nothing()

    def _port_forward(self, namespace: str, pod: str, uid: str = "") -> flask.Response:
        owner = self._pod(namespace, pod)
        environ = flask.request.environ
        agreement = _negotiate(environ, handshake.FORWARDING, (handshake.PORT_FORWARD_V1,))
        by_channels = agreement.framing is handshake.Framing.WEBSOCKET and agreement.protocol != handshake.TUNNEL
        ports = _ports() if by_channels else ()
        connection = self._take_over(environ, agreement)
        clock, dial = self._kubelet.clock, self._dial(owner)
        if agreement.framing is handshake.Framing.SPDY:
            SpdyForward(clock, connection, dial, pod).run()
        elif by_channels:
            ChannelForward(clock, WebSocketConnection(connection), dial, ports, pod).run()
        else:
            SpdyForward(clock, TunnelConnection(WebSocketConnection(connection)), dial, pod).run()
        connection.close()
        return _nothing()

    def _dial(self, pod: Object) -> Callable[[int], socket.socket]:
        """Connects to the loopback interface of the pod's network."""
        if spec.is_host_network(pod):
            return lambda port: socket.create_connection(("127.0.0.1", port), timeout=30)
        attachment = self._kubelet.network.attached().get(sandbox_name(uid_of(pod)))
        if attachment is None:
            raise Refused(404, "the pod has no network")

        def dial(port: int) -> socket.socket:
            from agents.network.namespaces import inside

            # A socket belongs to the namespace in which it was made, wherever it is used afterwards.
            with inside(attachment.namespace_path):
                candidates = [socket.socket(family, socket.SOCK_STREAM) for family in (socket.AF_INET, socket.AF_INET6)]
            return connected(candidates, port)

        return dial

    def _take_over(self, environ: dict[str, Any], agreement: handshake.Agreement) -> SocketConnection:
        sock, file = hijack(environ)
        handshake.send_all(sock, agreement.answer)
        return SocketConnection(sock, file, self._kubelet.clock.lock())

    def _logs(self, namespace: str, pod: str, container: str) -> flask.Response:
        owner = self._pod(namespace, pod)
        if spec.find_container(owner, container) is None:
            raise Refused(400, f"container {container} is not valid for pod {pod}")
        view = self._kubelet.view(uid_of(owner))
        previous = _flag("previous")
        found = view.previous(container) if previous else view.latest(container)
        if found is None or found.state is State.CREATED:
            raise Refused(400, _no_log(owner, pod, container, previous))
        options = log_options(flask.request.args.to_dict(), self._kubelet.clock.time())
        if absent := missing(Path(found.log_path)):
            raise Refused(400, absent)

        def pieces(gone: Callable[[], bool] = lambda: False) -> Iterator[bytes]:
            ended = lambda: gone() or self._has_ended(found)  # noqa: E731
            return read_log(Path(found.log_path), options, self._kubelet.clock, ended)

        environ = flask.request.environ
        if "HTTP_UPGRADE" not in environ:
            return flask.Response(pieces(), mimetype="text/plain")
        agreement = _negotiate(environ, _LOG_PROTOCOLS, ())
        messages = WebSocketConnection(self._take_over(environ, agreement))
        send_log(self._kubelet.clock, messages, agreement.protocol, pieces)
        return _nothing()

    def _node_logs(self, name: str = "") -> flask.Response:
        found = node_logs.located(node_logs.ROOT, name)
        if found is None or not (found.is_dir() or found.is_file()):
            raise Refused(404, "404 page not found")
        if found.is_file():
            return flask.Response(node_logs.content(found), mimetype="text/plain")
        return flask.Response(node_logs.listing(found), mimetype="text/html")

    def _has_ended(self, container: Container) -> bool:
        latest = next((c for c in self._kubelet.view(container.pod.uid).containers if c.id == container.id), None)
        return latest is None or latest.state is State.EXITED

    def _pods(self) -> flask.Response:
        return _json({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": self._kubelet.pods.items()})

    def _running_pods(self) -> flask.Response:
        running = {uid for uid, view in views(self._kubelet.runtime.list()).items() if view.running()}
        items = [pod for pod in self._kubelet.pods.items() if uid_of(pod) in running]
        return _json({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": items})

    def _trace(self) -> flask.Response:
        """What this node's kernel does with packets for `target`; with `service` also what becomes of that port."""
        from agents.network import observation as network
        from agents.proxy import observation as services

        query = flask.request.args.to_dict()
        try:
            facts = network.observe(self._kubelet.network.attached().values(), query)
            facts |= services.standing(query["target"])
            if query.get("service"):
                protocol, _, port = query["service"].partition("/")
                facts["service"] = services.observe(query["target"], protocol, int(port))
        except (KeyError, ValueError) as error:
            raise Refused(400, f"the trace cannot be made: {error}") from error
        except (OSError, NetlinkError) as error:
            raise Refused(500, f"the kernel cannot be asked: {error}") from error
        return _json(facts)

    def _remove_volume(self) -> flask.Response:
        """Remove the directory `path` of a local-path volume."""
        try:
            remove_directory(Path(flask.request.args.get("path", "")))
        except VolumeError as error:
            raise Refused(409, str(error)) from error
        except OSError as error:
            raise Refused(500, f"the directory cannot be removed: {error}") from error
        return _json({})

    def _summary(self) -> flask.Response:
        kubelet = self._kubelet
        resources, pods = kubelet.resources, kubelet.pods.items()
        samples = resources.sampler.pair()
        only_use = _flag("only_cpu_and_memory")
        disks = (
            {}
            if only_use
            else {uid_of(pod): replace(resources.disk(pod), claims=resources.claims(pod)) for pod in pods}
        )
        found = views(kubelet.runtime.list())
        return _json(summary(kubelet.settings.node.name, pods, found, samples, resources.pressure(), disks))

    def _resource_metrics(self) -> flask.Response:
        found = views(self._kubelet.runtime.list())
        sample = self._kubelet.resources.sampler.now()
        return _text(exposition.resource_metrics(self._kubelet.pods.items(), found, sample), 200)

    def _cadvisor_metrics(self) -> flask.Response:
        kubelet = self._kubelet
        found, sample = views(kubelet.runtime.list()), kubelet.resources.sampler.now()
        return _text(exposition.cadvisor_metrics(kubelet.pods.items(), found, sample, kubelet.machine), 200)

    def _probe_metrics(self) -> flask.Response:
        return _text(exposition.probe_metrics(self._kubelet.prober.counts), 200)


def log_options(query: dict[str, str], now: float) -> LogOptions:
    """The options of a log request. Raises Refused for a number or time that is not one."""
    try:
        since: float | None = None
        if query.get("sinceTime"):
            since = parse_timestamp(query["sinceTime"])
        elif query.get("sinceSeconds"):
            since = now - float(query["sinceSeconds"])
        return LogOptions(
            tail=int(query["tailLines"]) if query.get("tailLines") else None,
            since=since,
            timestamps=query.get("timestamps") in ("true", "1"),
            limit_bytes=int(query["limitBytes"]) if query.get("limitBytes") else None,
            follow=query.get("follow") in ("true", "1"),
            stream=query.get("stream") or "All",
        )
    except ValueError as error:
        raise Refused(400, f"the log options cannot be read: {error}") from error


def _no_log(owner: Object, pod: str, container: str, previous: bool) -> str:
    if previous:
        return f'previous terminated container "{container}" in pod "{pod}" not found'
    status = owner.get("status") or {}
    entries = [*(status.get("containerStatuses") or []), *(status.get("initContainerStatuses") or [])]
    waiting = next((e["state"].get("waiting") or {} for e in entries if e["name"] == container), {})
    reason = waiting.get("reason") or "ContainerCreating"
    trying = reason in ("ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull")
    what = "trying and failing to pull image" if trying else reason
    return f'container "{container}" in pod "{pod}" is waiting to start: {what}'


def _negotiate(environ: dict[str, Any], websocket: tuple[str, ...], spdy: tuple[str, ...]) -> handshake.Agreement:
    try:
        return handshake.negotiate(environ, websocket, spdy)
    except handshake.UpgradeRefused as error:
        raise Refused(error.status, str(error)) from error


def _wanted(terminal: bool | None = None) -> Wanted:
    """The streams asked for; the API server's names of the parameters and the kubelet's own both count."""
    tty = _flag("tty") if terminal is None else terminal
    return Wanted(
        stdin=_flag("stdin", "input"),
        stdout=_flag("stdout", "output"),
        stderr=_flag("stderr", "error") and not tty,
        terminal=tty,
    )


def _ports() -> tuple[int, ...]:
    try:
        return named_ports(flask.request.args.getlist("port"))
    except ValueError as error:
        raise Refused(400, str(error)) from error


def _flag(*names: str) -> bool:
    return any(flask.request.args.get(name, "").lower() in ("true", "1") for name in names)


def _json(value: Object) -> flask.Response:
    return flask.Response(orjson.dumps(value), mimetype="application/json")


def _text(text: str, status: int) -> flask.Response:
    return flask.Response(text, status=status, mimetype="text/plain")


def _nothing() -> flask.Response:
    """What a handler returns that has taken its connection over; it is not sent."""
    return flask.Response(status=200)
