"""What the Podman driver makes of answers that are hard to bring about on purpose."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from agents.kubelet.runtime.interface import ContainerRuntimeError, NoSuchContainer
from agents.kubelet.runtime.pinned_sandboxes import PinnedSandboxes
from agents.kubelet.runtime.podman import PodmanRuntime
from api.runtime import SystemRuntime

pytestmark = pytest.mark.unit

GONE = b'{"message": "container 1c02 does not exist in database: no such container", "response": 500}'
BROKEN = b'{"message": "the database is locked", "response": 500}'


class Service:
    """Answers one request after the other with what it was given; the last answer stays."""

    def __init__(self, path: Path) -> None:
        self.answers: list[tuple[int, bytes]] = [(200, b"[]")]
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                status, body = outer.answers.pop(0) if len(outer.answers) > 1 else outer.answers[0]
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def address_string(self) -> str:
                return "unix"

            def log_message(self, format: str, *arguments: object) -> None:
                return None

        self.server = socketserver.ThreadingUnixStreamServer(str(path), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    made = Service(tmp_path / "podman.sock")
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture
def runtime(tmp_path: Path, service: Service) -> PodmanRuntime:
    return PodmanRuntime(str(tmp_path / "podman.sock"), "pause", PinnedSandboxes(tmp_path / "s", SystemRuntime()))


def test_a_list_that_a_removal_spoiled_is_asked_for_again(service: Service, runtime: PodmanRuntime) -> None:
    service.answers = [(500, GONE), (500, GONE), (200, b"[]")]
    assert runtime.list().containers == ()
    service.answers = [(500, GONE)]
    with pytest.raises(NoSuchContainer):
        runtime.list()


def test_any_other_failure_is_told_at_once(service: Service, runtime: PodmanRuntime) -> None:
    service.answers = [(500, BROKEN), (200, b"[]")]
    with pytest.raises(ContainerRuntimeError, match="the database is locked"):
        runtime.list()


def test_events_that_break_off_within_a_line_end_as_a_broken_stream_does(
    service: Service, runtime: PodmanRuntime
) -> None:
    service.answers = [(200, b'{"Action": "died", "Actor": {"Attributes": {"io.kubernetes.pod.uid": "u"}}}\n{"Act')]
    events = runtime.events()
    assert next(events).pod_uid == "u"
    with pytest.raises(ContainerRuntimeError, match="podman's stream broke"):
        next(events)
