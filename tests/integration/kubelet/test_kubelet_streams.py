"""kubectl's logs, exec, attach and port-forward against a real node, over WebSocket and SPDY."""

from __future__ import annotations

import base64
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import orjson
import pytest
import websocket
import yaml
from pod_case import RUN, shell
from podman_host import Node, eventually

from agents.network.namespaces import inside
from api.objects import is_true

pytestmark = pytest.mark.integration

FRAMINGS = {"websocket": "true", "spdy": "false"}
SCRIPT = "mkdir -p /www; echo page > /www/index.html; httpd -p 127.0.0.1:8080 -h /www;"
CAT = shell("echo ready; while read line; do echo got $line; done", stdin=True) | {"name": "cat"}


@pytest.fixture(scope="module")
def target(node: Node) -> Iterator[Node]:
    """The node with a pod that serves, counts and echoes."""
    yield from _with_target(node)


@pytest.fixture(scope="module")
def containerd_target(containerd_node: Node) -> Iterator[Node]:
    """Such a node with containerd."""
    yield from _with_target(containerd_node)


@pytest.fixture(params=["target", "containerd_target"])
def each_target(request: pytest.FixtureRequest) -> Node:
    """Either of them."""
    found: Node = request.getfixturevalue(request.param)
    return found


def _with_target(node: Node) -> Iterator[Node]:
    counting = shell(f"{SCRIPT} for i in 1 2 3 4 5; do echo line $i; done; {RUN}")
    body = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "target", "namespace": "default"},
        "spec": {"terminationGracePeriodSeconds": 1, "containers": [counting, CAT]},
    }
    node.client.create("pods", body)
    eventually(lambda: is_true(node.client.get("pods", "target", "default"), "Ready"), "the pod is Ready")
    yield node
    node.client.delete("pods", "target", "default", grace_period_seconds=0)


def kubectl_words(node: Node, kubectl: Path, *words: str, framing: str = "websocket") -> list[str]:
    choice = FRAMINGS[framing]
    variables = [f"KUBECTL_REMOTE_COMMAND_WEBSOCKETS={choice}", f"KUBECTL_PORT_FORWARD_WEBSOCKETS={choice}"]
    config = f"{node.directory}/server/admin.kubeconfig"
    return node.command(*variables, str(kubectl), "--kubeconfig", config, *words)


def run(node: Node, kubectl: Path, *words: str, framing: str = "websocket", given: str = "") -> tuple[int, str, str]:
    line = kubectl_words(node, kubectl, *words, framing=framing)
    done = subprocess.run(line, input=given, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("framing", FRAMINGS)
def test_exec_gives_streams_and_exit_status(each_target: Node, kubectl: Path, framing: str) -> None:
    words = ("exec", "target", "-c", "app", "--", "sh", "-c", "echo out; echo err >&2; exit 7")
    code, out, err = run(each_target, kubectl, *words, framing=framing)
    assert (code, out) == (7, "out\n")
    assert "err\n" in err and "exit code 7" in err


@pytest.mark.parametrize("framing", FRAMINGS)
def test_exec_carries_input(each_target: Node, kubectl: Path, framing: str) -> None:
    text = "".join(f"line {number}\n" for number in range(20_000))
    words = ("exec", "-i", "target", "-c", "app", "--", "md5sum")
    code, out, err = run(each_target, kubectl, *words, framing=framing, given=text)
    expected = subprocess.run(["md5sum"], input=text, capture_output=True, text=True, check=True).stdout
    assert (code, out, err) == (0, expected, "")


def test_exec_of_a_missing_command_says_so(each_target: Node, kubectl: Path) -> None:
    code, _, err = run(each_target, kubectl, "exec", "target", "-c", "app", "--", "no-such-program")
    assert code != 0 and "no-such-program" in err


def test_exec_with_a_terminal(each_target: Node, kubectl: Path) -> None:
    # The size follows the start of the command.
    words = kubectl_words(
        each_target, kubectl, "exec", "-it", "target", "-c", "app", "--", "sh", "-c", "tty; sleep 0.5; stty size"
    )
    script = ["script", "-qec", f"stty rows 30 cols 100; {' '.join(_quoted(word) for word in words)}", "/dev/null"]
    done = subprocess.run(script, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False)
    assert "/dev/pts/" in done.stdout
    assert "30 100" in done.stdout


def test_attach_joins_the_running_process(each_target: Node, kubectl: Path) -> None:
    line = kubectl_words(each_target, kubectl, "attach", "-i", "target", "-c", "cat")
    process = subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None and process.stdout is not None
    try:
        process.stdin.write("ahoy\n")
        process.stdin.flush()
        assert process.stdout.readline() == "got ahoy\n"
    finally:
        process.kill()
        process.wait(10)


LOGS = [
    ((), "line 1\nline 2\nline 3\nline 4\nline 5\n"),
    (("--tail", "2"), "line 4\nline 5\n"),
    (("--tail", "0"), ""),
    (("--limit-bytes", "9"), "line 1\nli"),
    (("--since", "1h", "--tail", "1"), "line 5\n"),
]


@pytest.mark.parametrize(("options", "expected"), LOGS)
def test_logs(target: Node, kubectl: Path, options: tuple[str, ...], expected: str) -> None:
    assert run(target, kubectl, "logs", "target", "-c", "app", *options) == (0, expected, "")


def test_logs_with_times(target: Node, kubectl: Path) -> None:
    _, out, _ = run(target, kubectl, "logs", "target", "-c", "app", "--timestamps", "--tail", "1")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z line 5\n", out)


def test_following_logs_ends_with_the_container(each_target: Node, kubectl: Path) -> None:
    spec = {"restartPolicy": "Never", "containers": [shell("for i in 1 2 3; do echo $i; sleep 0.5; done")]}
    metadata = {"name": "short", "namespace": "default"}
    each_target.client.create("pods", {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
    try:
        eventually(lambda: run(each_target, kubectl, "logs", "short")[0] == 0, "the container has a log")
        assert run(each_target, kubectl, "logs", "-f", "short")[1] == "1\n2\n3\n"
    finally:
        each_target.client.delete("pods", "short", "default", grace_period_seconds=0)


@pytest.fixture(scope="module")
def administrator(target: Node, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The administrator's certificate, as files."""
    config = yaml.safe_load((target.directory / "server" / "admin.kubeconfig").read_text())
    directory, user = tmp_path_factory.mktemp("administrator"), config["users"][0]["user"]
    texts = {
        "ca_certs": config["clusters"][0]["cluster"]["certificate-authority-data"],
        "certfile": user["client-certificate-data"],
        "keyfile": user["client-key-data"],
    }
    for name, text in texts.items():
        (directory / name).write_bytes(base64.b64decode(text))
    return {name: str(directory / name) for name in texts}


def connect(node: Node, administrator: dict[str, str], path: str, protocols: list[str]) -> websocket.WebSocket:
    """A WebSocket to a path of the pod: unlike kubectl, it knows no other way if this one is refused."""
    url = f"wss://127.0.0.1:6443/api/v1/namespaces/default/pods/target/{path}"
    with inside(node.namespace):
        return websocket.create_connection(url, 20, sslopt=administrator, subprotocols=protocols)


@pytest.mark.parametrize("protocol", ["v4.channel.k8s.io", "v5.channel.k8s.io"])
def test_exec_speaks_channels(target: Node, administrator: dict[str, str], protocol: str) -> None:
    path = "exec?container=app&command=echo&command=remote+execution&stdout=true&stderr=true"
    connection = connect(target, administrator, path, [protocol])
    messages = [message for message in iter(connection.recv, "") if len(message) > 1]
    assert messages[0] == b"\x01remote execution\n"
    assert (messages[1][:1], orjson.loads(messages[1][1:])["status"]) == (b"\x03", "Success")


OLD = [([], bytes), (["channel.k8s.io"], bytes), (["base64.channel.k8s.io"], lambda text: base64.b64decode(text[1:]))]


@pytest.mark.parametrize(("protocols", "decode"), [*OLD, (["v4.base64.channel.k8s.io"], OLD[-1][1])])
@pytest.mark.parametrize("code", [0, 3])
def test_exec_speaks_the_older_channels(
    target: Node, administrator: dict[str, str], protocols: list[str], decode: Callable[[bytes], bytes], code: int
) -> None:
    script = f"command=sh&command=-c&command=echo+hello;exit+{code}"
    connection = connect(target, administrator, f"exec?container=app&{script}&stdout=true&stderr=true", protocols)
    pieces = iter(lambda: connection.recv_data()[1], b"\x03\xe8")
    first, *rest = [decode(piece) for piece in pieces if len(piece) > 1]
    assert first.endswith(b"hello\n")
    if protocols == ["v4.base64.channel.k8s.io"]:
        assert orjson.loads(rest[0])["status"] == ("Failure" if code else "Success")
    else:
        assert [one[-13:] for one in rest] == ([b"exit status 3"] if code else [])
    connection.close()


MESSAGES = [([], bytes), (["binary.k8s.io"], bytes), (["base64.binary.k8s.io"], base64.b64decode)]


@pytest.mark.parametrize(("protocols", "decode"), MESSAGES)
def test_logs_come_as_messages(
    target: Node, administrator: dict[str, str], protocols: list[str], decode: Callable[[bytes], bytes]
) -> None:
    connection = connect(target, administrator, "log?container=app&tailLines=2", protocols)
    pieces = iter(lambda: connection.recv_data()[1], b"\x03\xe8")
    assert b"".join(map(decode, pieces)) == b"line 4\nline 5\n"
    connection.close()


@pytest.mark.parametrize("framing", FRAMINGS)
def test_port_forward_reaches_the_pods_loopback(each_target: Node, kubectl: Path, framing: str) -> None:
    line = kubectl_words(each_target, kubectl, "port-forward", "pod/target", ":8080", framing=framing)
    process = subprocess.Popen(line, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        found = re.search(r"127\.0\.0\.1:(\d+) -> 8080", process.stdout.readline())
        assert found is not None
        for _ in range(3):
            assert each_target.run("busybox", "wget", "-qO-", f"http://127.0.0.1:{found[1]}/") == "page\n"
    finally:
        process.kill()
        process.wait(10)


def test_the_server_refuses_strangers(target: Node) -> None:
    words = ("curl", "-sk", "-o", "/dev/null", "-w", "%{http_code}", "https://127.0.0.1:10250/pods")
    assert target.run(*words) == "401"


def _quoted(word: str) -> str:
    return "'" + word.replace("'", "'\\''") + "'"
