"""What the kubelet's server shows and to whom, and what it asks of servers itself, without a node."""

from __future__ import annotations

import argparse
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from agents.kubelet import healthz, node_logs
from agents.kubelet.authorization import subresources
from agents.kubelet.configuration import configuration, duration
from agents.kubelet.endpoints import connected
from agents.kubelet.options import configure
from agents.kubelet.probes import http
from agents.kubelet.probes.actions import connect
from agents.kubelet.probes.target import Answer, Target
from api.runtime import SystemRuntime

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("path", "wanted"),
    [
        # Source: kubelet/server auth_test.go AuthzTestCases, each path once: the verb changes nothing.
        ("/stats/", ("stats",)), ("/metrics", ("metrics",)), ("/metrics/probes", ("metrics",)), ("/logs/x", ("log",)),
        ("/metrics/resource", ("metrics",)), ("/metrics/slis", ("metrics",)), ("/pods/", ("pods", "proxy")),
        ("/attach/default/web/app", ("proxy",)), ("/attach/default/web/u/app", ("proxy",)), ("/flagz", ("configz",)),
        ("/checkpoint/default/web/app", ("checkpoint",)), ("/statusz", ("statusz",)), ("/debug/pprof/x", ("proxy",)),
        ("/containerLogs/default/web/app", ("proxy",)), ("/debug/flags/v", ("proxy",)),
        ("/healthz", ("healthz", "proxy")),
        ("/exec/default/web/u/app", ("proxy",)), ("/healthz/log", ("healthz", "proxy")),
        ("/healthz/syncloop", ("healthz", "proxy")), ("/portForward/default/web", ("proxy",)),
        ("/portForward/default/web/u", ("proxy",)), ("/run/default/web/app", ("proxy",)),
        ("/run/default/web/u/app", ("proxy",)),
        ("/stats/summary", ("stats",)), ("/metrics/cadvisor", ("metrics",)), ("/logs/", ("log",)),
        ("/pods", ("pods", "proxy")), ("/runningpods/", ("pods", "proxy")), ("/healthz/ping", ("healthz", "proxy")),
        ("/configz", ("configz", "proxy")), ("/exec/default/web/app", ("proxy",)), ("/podsandmore", ("proxy",)),
    ],
)  # fmt: skip
def test_one_of_a_paths_subresources_must_be_allowed(path: str, wanted: tuple[str, ...]) -> None:
    assert subresources(path) == wanted


def test_what_was_told_is_shown_beside_the_defaults() -> None:
    parser = argparse.ArgumentParser()
    configure(parser)
    words = ["--kubeconfig", "k", "--max-pods", "30", "--eviction-hard", "memory.available<1Gi,nodefs.available<5%"]
    words += ["--eviction-minimum-reclaim", "nodefs.available=500Mi", "--system-reserved", "memory=1Gi"]
    words += ["--seccomp-default", "--container-log-max-size", "1Mi"]
    shown = configuration(parser.parse_args(words))["kubeletconfig"]
    wanted = {
        "maxPods": 30,
        "port": 10250,
        "healthzPort": 10248,
        "healthzBindAddress": "127.0.0.1",
        "seccompDefault": True,
        "imagePullCredentialsVerificationPolicy": "NeverVerifyPreloadedImages",
        "containerLogMaxSize": "1Mi",
        "containerLogMaxFiles": 5,
        "podLogsDir": "/var/log/pods",
        "evictionHard": {"memory.available": "1Gi", "nodefs.available": "5%"},
        "evictionMinimumReclaim": {"nodefs.available": "500Mi"},
        "evictionPressureTransitionPeriod": "5m0s",
        "systemReserved": {"memory": "1Gi"},
        "clusterDomain": "cluster.local",
    }
    assert {name: shown[name] for name in wanted} == wanted


@pytest.mark.parametrize(
    "words",
    [
        ["--container-log-max-size", "1Ki"],
        ["--container-log-max-size", "large"],
        ["--container-log-max-files", "1"],
        ["--container-log-max-files", "few"],
    ],
)
def test_logs_that_could_not_be_kept_are_refused(words: list[str]) -> None:
    parser = argparse.ArgumentParser()
    configure(parser)
    with pytest.raises(SystemExit):
        parser.parse_args(["--kubeconfig", "k", *words])


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0s"), (0.5, "500ms"), (90, "1m30s"), (3600, "1h0m0s"), (5, "5s"), (1.5, "1.5s")]
)
def test_durations_are_written_as_by_go(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_log_files_are_shown_and_nothing_that_links_lead_to(tmp_path: Path) -> None:
    root, outside = tmp_path / "log", tmp_path / "secret"
    (root / "apt").mkdir(parents=True)
    (root / "a&b.log").write_text("said")
    outside.write_text("secret")
    (root / "out").symlink_to(outside)
    (root / "within").symlink_to("a&b.log")
    listed = node_logs.listing(root)
    assert '<a href="a%26b.log">a&amp;b.log</a>\n<a href="apt/">apt/</a>\n' in listed
    for name in ("out", "../secret", "apt/../../secret", "none"):
        assert node_logs.located(root, name) is None
    found = node_logs.located(root, "within")
    assert found is not None and b"".join(node_logs.content(found)) == b"said"


# Only then does the slow page answer.
_GIVEN_UP = threading.Event()


class _Pages(BaseHTTPRequestHandler):
    """/to/STATUS/PATH redirects, /elsewhere to another host, /is/STATUS answers so; anything else is good."""

    def do_GET(self) -> None:
        words = self.path.strip("/").split("/", 2)
        status, location = 200, ""
        if words[0] == "slow":
            _GIVEN_UP.wait(60)
        if words[0] == "to":
            status, location = int(words[1]), f"/{words[2]}"
        elif words[0] == "elsewhere":
            status, location = 302, "http://192.0.2.1/"
        elif words[0] == "loop":
            status, location = 302, "/loop"
        elif words[0] == "is":
            status = int(words[1])
        self.send_response(status)
        if location:
            self.send_header("Location", location)
        with suppress(BrokenPipeError, ConnectionResetError):
            self.end_headers()
            self.wfile.write(b"said")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """Where such pages are served."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Pages) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        _GIVEN_UP.set()
        server.shutdown()
        thread.join()


WARNED = Answer(True, "Probe terminated redirects, Response body: said", warning=True)
ANSWERS = [
    ("/", Answer(True, "said")),
    ("/to/302/is/200", Answer(True, "said")),
    ("/to/307/to/301/is/503", Answer(False, "HTTP probe failed with statuscode: 503")),
    ("/elsewhere", WARNED),
    ("/is/300", WARNED),
    ("/is/404", Answer(False, "HTTP probe failed with statuscode: 404")),
]


@pytest.mark.parametrize(("path", "wanted"), ANSWERS)
def test_probes_judge_what_redirects_lead_to_and_hooks_only_call(path: str, wanted: Answer, port: int) -> None:
    clock, target = SystemRuntime(), Target("c", "127.0.0.1", {"ports": [{"name": "web", "containerPort": port}]})
    assert http.get(clock, {"path": path, "port": "web"}, target, 60.0) == wanted
    assert http.call(clock, {"path": path, "port": port}, target, 60.0).ok


def test_redirects_come_to_an_end_and_hooks_go_without_tls_to_who_has_none(port: int) -> None:
    clock, target = SystemRuntime(), Target("c", "127.0.0.1", {})
    assert http.get(clock, {"path": "/loop", "port": port}, target, 60.0).text.endswith("stopped after 10 redirects")
    assert http.call(clock, {"path": "/", "port": port, "scheme": "HTTPS"}, target, 60.0).ok


def test_who_cannot_be_reached_is_said_in_the_words_of_the_original(port: int) -> None:
    clock, target = SystemRuntime(), Target("c", "127.0.0.1", {})
    refused = "dial tcp 127.0.0.1:1: connect: connection refused"
    assert http.get(clock, {"path": "/", "port": 1}, target, 60.0) == Answer(
        False, f'Get "http://127.0.0.1:1/": {refused}'
    )
    assert http.call(clock, {"path": "/", "port": 1}, target, 60.0) == Answer(False, refused)
    assert connect({"port": 1}, target, 60.0) == Answer(False, refused)
    late = "context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
    assert http.get(clock, {"path": "/slow", "port": port}, target, 0.2).text.endswith(late)


@pytest.mark.parametrize(("family", "address"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
def test_a_port_is_reached_by_either_family(family: int, address: str) -> None:
    with socket.socket(family) as listener:
        listener.bind((address, 0))
        listener.listen()
        candidates = [socket.socket(kind) for kind in (socket.AF_INET, socket.AF_INET6)]
        with connected(candidates, listener.getsockname()[1]) as found:
            assert found.getpeername()[0] == address
        assert all(candidate.fileno() == -1 for candidate in candidates)
    candidates = [socket.socket(kind) for kind in (socket.AF_INET, socket.AF_INET6)]
    with pytest.raises(ConnectionRefusedError):
        connected(candidates, 1)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/healthz", 200),
        ("/healthz/ping", 200),
        ("/healthz/other", 404),
        ("/metrics", 404),
        ("/configz", 404),
        ("/", 404),
    ],
)
def test_anybody_on_the_machine_learns_that_the_kubelet_runs_and_no_more(path: str, status: int) -> None:
    answer = healthz.application().test_client().get(path)
    assert (answer.status_code, answer.text == "ok") == (status, status == 200)
