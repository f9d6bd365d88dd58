"""`wherry server`: ready with one command, whole after any process dies, gone without a trace when told to stop."""

from __future__ import annotations

import base64
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from http.client import HTTPResponse
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml

from api import kubeconfig
from api.client import Client
from api.errors import ApiError
from api.objects import Object
from api.transport import TransportError

pytestmark = pytest.mark.integration

COMPONENTS = ("kvstore", "apiserver", "scheduler", "controller-manager", "cloud-controller-manager")
SECOND = "apiserver-2"


class RunningServer:
    """A `wherry server` process and its data directory."""

    def __init__(self, directory: Path, *arguments: str) -> None:
        self.directory = directory
        command = [sys.executable, "-m", "control.cli.main", "server", "--data-dir", str(directory)]
        self.process = subprocess.Popen(
            [*command, "--listen", "127.0.0.1:0", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert self.process.stdout is not None
        self.first_line = self.process.stdout.readline()

    @property
    def client(self) -> Client:
        return kubeconfig.client(self.directory / "admin.kubeconfig", "test")

    def children(self) -> dict[str, int]:
        """The process of each component, found by its command line's parent."""
        found = {}
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        logs = {os.path.realpath(self.directory / "logs" / f"{name}.log"): name for name in (*COMPONENTS, SECOND)}
        for pid in children:
            try:
                target = os.readlink(f"/proc/{pid}/fd/1")
            except OSError:
                continue
            if target in logs:
                found[logs[target]] = int(pid)
        return found

    def stop(self) -> int:
        if self.process.poll() is None:
            self.process.terminate()
        try:
            status = self.process.wait(30)
        finally:
            self.process.kill()
            self.process.wait()
            if self.process.stdout is not None:
                self.process.stdout.close()
        return status


def wait_for(what: str, condition: Callable[[], bool], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            if condition():
                return
        except (ApiError, TransportError, OSError):
            pass
        assert time.monotonic() < deadline, f"{what} did not come true within {seconds} s"
        time.sleep(0.05)


def alive(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False


def config_map(name: str) -> Object:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "default"}}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RunningServer]:
    running = RunningServer(tmp_path / "data")
    yield running
    running.stop()


def test_it_says_when_it_is_ready_and_writes_an_admin_kubeconfig(server: RunningServer) -> None:
    assert re.match(r"ready in \d+\.\d s: https://127\.0\.0\.1:\d+\n", server.first_line)
    assert (server.directory / "admin.kubeconfig").stat().st_mode & 0o077 == 0
    assert sorted(server.children()) == sorted(COMPONENTS)
    assert server.client.get("namespaces", "default")["status"]["phase"] == "Active"


def test_sigterm_ends_every_process_and_a_new_start_continues_the_cluster(server: RunningServer) -> None:
    server.client.create("configmaps", config_map("kept"))
    children = server.children()
    assert server.stop() == 0
    assert not [name for name, pid in children.items() if alive(pid)]
    again = RunningServer(server.directory)
    try:
        assert again.client.get("configmaps", "kept", "default")["metadata"]["name"] == "kept"
    finally:
        again.stop()


def test_no_process_survives_the_kill_of_its_parent(server: RunningServer) -> None:
    children = server.children()
    server.process.send_signal(signal.SIGKILL)
    wait_for("the end of all children", lambda: not any(alive(pid) for pid in children.values()))


@pytest.mark.parametrize("victim", COMPONENTS)
def test_a_killed_component_starts_again_and_the_cluster_goes_on(server: RunningServer, victim: str) -> None:
    before = server.children()
    server.client.create("configmaps", config_map("before"))
    os.kill(before[victim], signal.SIGKILL)
    wait_for("a new process", lambda: server.children().get(victim, before[victim]) != before[victim])
    client = server.client
    wait_for("a readable API", lambda: bool(client.get("configmaps", "before", "default")))
    wait_for("a writable API", lambda: bool(client.create("configmaps", config_map("after"))))


def test_the_memory_store_starts_empty_every_time(tmp_path: Path) -> None:
    first = RunningServer(tmp_path / "data", "--store", "memory")
    try:
        first.client.create("configmaps", config_map("gone"))
    finally:
        first.stop()
    second = RunningServer(tmp_path / "data", "--store", "memory")
    try:
        assert "gone" not in {item["metadata"]["name"] for item in second.client.list("configmaps", "default").items}
    finally:
        second.stop()


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--listen", "nonsense"], "write ADDR:PORT"),
        (["--store", "floppy"], "floppy"),
        (["--data-dir", "/dev/null/x"], "Not a directory"),
    ],
)
def test_a_wrong_argument_ends_with_one_sentence(tmp_path: Path, arguments: list[str], complaint: str) -> None:
    command = [sys.executable, "-m", "control.cli.main", "server", "--data-dir", str(tmp_path / "d"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode != 0
    assert complaint in done.stderr
    assert "Traceback" not in done.stderr


def sockets(pid: int) -> int:
    return sum(os.readlink(one).startswith("socket:") for one in Path(f"/proc/{pid}/fd").iterdir())


def test_two_api_servers_share_a_port_and_the_work(tmp_path: Path) -> None:
    server = RunningServer(tmp_path, "--apiservers", "2")
    try:
        children = server.children()
        before = {name: sockets(children[name]) for name in ("apiserver", SECOND)}
        clients = [server.client for _ in range(24)]
        for number, client in enumerate(clients):
            client.create("configmaps", {"metadata": {"name": f"of-{number}", "namespace": "default"}})
            assert clients[number - 1].get("configmaps", f"of-{number}", "default")
        assert all(sockets(children[name]) > count for name, count in before.items())
        os.kill(children[SECOND], signal.SIGKILL)
        wait_for("an answer by the other", lambda: bool(server.client.get("configmaps", "of-0", "default")))
    finally:
        server.stop()


def slow_watch(server: RunningServer, revision: str) -> tuple[ssl.SSLSocket, HTTPResponse]:
    """A watch of the config map `changing`, over a connection in which the kernel keeps little."""
    document = yaml.safe_load((server.directory / "admin.kubeconfig").read_text())
    cluster, user = document["clusters"][0]["cluster"], document["users"][0]["user"]
    context = ssl.create_default_context(cadata=base64.b64decode(cluster["certificate-authority-data"]).decode())
    with tempfile.NamedTemporaryFile() as file:
        file.write(base64.b64decode(user["client-certificate-data"]) + base64.b64decode(user["client-key-data"]))
        file.flush()
        context.load_cert_chain(file.name)
    url = urlsplit(cluster["server"])
    plain = socket.socket()
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    plain.connect((url.hostname, url.port))
    secured = context.wrap_socket(plain, server_hostname=url.hostname)
    query = f"watch=true&fieldSelector=metadata.name%3Dchanging&resourceVersion={revision}"
    secured.sendall(
        f"GET /api/v1/namespaces/default/configmaps?{query} HTTP/1.1\r\nHost: {url.netloc}\r\n\r\n".encode()
    )
    answer = HTTPResponse(secured)
    answer.begin()
    return secured, answer


def test_a_watcher_that_reads_late_holds_nobody_up_and_hears_every_change_in_order(server: RunningServer) -> None:
    changes, client = 400, server.client
    made = client.create("configmaps", config_map("changing"))
    secured, answer = slow_watch(server, made["metadata"]["resourceVersion"])
    with secured:
        for number in range(changes):
            data = {"number": str(number), "filling": "x" * 20_000}
            client.patch("configmaps", "changing", {"data": data}, "default")
        heard = [json.loads(answer.readline())["object"]["data"]["number"] for _ in range(changes)]
    assert heard == [str(number) for number in range(changes)]
