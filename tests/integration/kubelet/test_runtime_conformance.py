"""What every runtime driver must do, asked of each of them: podman, containerd, and the fake."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from containerd_host import containerd_missing, start_containerd
from image_registry import IMAGE as GUARDED
from image_registry import USER, WORD, served
from podman_host import BUSYBOX, PAUSE, Host, Node, eventually, missing

from agents.kubelet.command import lowest_oom_score
from agents.kubelet.log_rotation import rotate
from agents.kubelet.pod_logs import PodLogs
from agents.kubelet.runtime.containerd import CriRuntime
from agents.kubelet.runtime.fake import FakeRuntime
from agents.kubelet.runtime.interface import (
    CONTAINER_HASH,
    STDERR,
    STDOUT,
    Container,
    ContainerRuntime,
    ContainerRuntimeError,
    ContainerSpec,
    Credentials,
    ImagePullError,
    Limits,
    Mount,
    NoSuchContainer,
    PodIdentity,
    SandboxSpec,
    Security,
    Session,
    State,
)
from agents.kubelet.runtime.pinned_sandboxes import PinnedSandboxes
from agents.kubelet.runtime.podman import PodmanRuntime
from agents.network.namespaces import inside
from api.runtime import SystemRuntime

pytestmark = pytest.mark.integration

# Logs so small that they are begun anew soon.
LOGS = PodLogs(largest=65536, files=3)
FOREVER = "trap 'exit 5' TERM; while true; do sleep 0.1; done"


@dataclass
class Driver:
    """A runtime under test. `here` enters the network in which its streams are served."""

    runtime: ContainerRuntime
    directory: Path
    cgroup: str
    processes: bool
    here: Callable[[], AbstractContextManager[Any]]
    pods: int = 0

    def pod(self) -> PodIdentity:
        self.pods += 1
        return PodIdentity(f"pod{self.pods}", "conformance", f"uid-{self.pods}-{self.directory.name}")

    def sandbox(self, pod: PodIdentity, **more: Any) -> str:
        logs = self.directory / "pods" / pod.uid
        logs.mkdir(parents=True, exist_ok=True)
        group = f"/{self.cgroup}/kubepods/besteffort/pod{pod.uid}"
        return self.runtime.create_sandbox(
            SandboxSpec(pod, 0, "conformance", cgroup_parent=group, log_directory=str(logs), **more)
        )

    def container(self, pod: PodIdentity, sandbox: str, script: str, **more: Any) -> str:
        image = self.runtime.image(BUSYBOX)
        assert image is not None
        log = self.directory / "pods" / pod.uid / "app" / f"{more.get('attempt', 0)}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        group = f"/{self.cgroup}/kubepods/besteffort/pod{pod.uid}"
        values = {"attempt": 0, "command": ("/bin/sh", "-c", script), "cgroup_parent": group} | more
        return self.runtime.create_container(
            ContainerSpec(
                pod=pod, name="app", sandbox_id=sandbox, image_id=image.id, image=BUSYBOX, log_path=str(log), **values
            )
        )

    def run(self, script: str, **more: Any) -> str:
        """A started container in a pod of its own; its id."""
        pod = self.pod()
        container = self.container(pod, self.sandbox(pod), script, **more)
        self.runtime.start_container(container)
        return container

    def ended(self, container: str) -> Container:
        def look() -> Container | None:
            found = self.runtime.inspect(container)
            return found if found.state is State.EXITED else None

        found: Container = eventually(look, "the container has ended")
        return found

    def output(self, container: str) -> str:
        lines = Path(self.runtime.inspect(container).log_path).read_text().splitlines()
        return "".join(line.split(" ", 3)[3] + "\n" for line in lines)

    def clear(self) -> None:
        found = self.runtime.list()
        for container in found.containers:
            self.runtime.remove_container(container.id)
        for sandbox in found.sandboxes:
            self.runtime.stop_sandbox(sandbox.id)
            self.runtime.remove_sandbox(sandbox.id)


@pytest.fixture(scope="module", params=["fake", "podman", "containerd"])
def drivers(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Driver]:
    if request.param == "fake":
        yield Driver(FakeRuntime(SystemRuntime()), tmp_path_factory.mktemp("fake"), "", False, nullcontext)
        return
    absent = missing() if request.param == "podman" else containerd_missing()
    if absent:
        pytest.skip(f"{request.param} {absent}")
    host = Node() if request.param == "podman" else Host()
    try:
        runtime: ContainerRuntime
        if isinstance(host, Node):
            host.start_podman()
            host.load_images()
            sandboxes = PinnedSandboxes(host.sandboxes, SystemRuntime())
            runtime = PodmanRuntime(str(host.podman_socket), PAUSE, sandboxes, lowest_oom_score(), LOGS.largest)
        else:
            runtime = CriRuntime(str(start_containerd(host)), SystemRuntime(), PAUSE, lowest_oom_score())
        yield Driver(runtime, host.directory, host.cgroup, True, lambda: inside(host.namespace))
    finally:
        host.close()


@pytest.fixture
def driver(drivers: Driver) -> Iterator[Driver]:
    yield drivers
    drivers.clear()
    assert drivers.runtime.list().containers == ()
    assert drivers.runtime.list().sandboxes == ()


@pytest.fixture
def real(driver: Driver) -> Driver:
    """A driver that has processes."""
    if not driver.processes:
        pytest.skip("the fake runtime has no processes")
    return driver


def everything(session: Session) -> dict[int, str]:
    found = {STDOUT: b"", STDERR: b""}
    while (frame := session.read()) is not None:
        found[frame[0]] += frame[1]
    return {channel: data.decode() for channel, data in found.items()}


def test_a_runtime_says_what_it_is(driver: Driver) -> None:
    version = driver.runtime.version()
    assert version.name in ("fake", "podman", "containerd")
    assert version.version[0].isdigit()


def test_images_are_found_by_name_and_by_id(real: Driver) -> None:
    found = real.runtime.image(BUSYBOX)
    assert found is not None and found.id.startswith("sha256:") and found.size > 0
    assert real.runtime.image(found.id) == found
    assert real.runtime.image("localhost/absent:1") is None
    listed = {name: image for image in real.runtime.list_images() for name in image.names}
    assert listed[BUSYBOX].id == found.id
    assert (listed[PAUSE].pinned, listed[BUSYBOX].pinned) == (True, False)


def test_an_image_is_pulled_by_who_knows_the_word(real: Driver) -> None:
    with served({"bin/busybox": Path(shutil.which("busybox") or "")}, real.here) as registry:
        for known in (None, Credentials(USER, "guess")):
            with pytest.raises(ImagePullError, match=r"(?i)unauthorized|401"):
                real.runtime.pull_image(GUARDED, known)
        with pytest.raises(ImagePullError, match=r"(?i)not found|unknown"):
            real.runtime.pull_image(f"{GUARDED}23", Credentials(USER, WORD))
        image = real.runtime.pull_image(GUARDED, Credentials(USER, WORD))
        assert GUARDED in image.names and f"{GUARDED.removesuffix(':1')}@{registry.digest}" in image.digests
    try:
        assert image.size > 0 and real.runtime.image(GUARDED) == image
    finally:
        real.runtime.remove_image(image.id)
    assert real.runtime.image(GUARDED) is None


def test_a_pod_is_listed_as_it_was_made(driver: Driver) -> None:
    pod, other = driver.pod(), driver.pod()
    sandbox = driver.sandbox(pod, labels={"mark": "1"})
    driver.sandbox(other)
    container = driver.container(pod, sandbox, FOREVER, attempt=3, labels={CONTAINER_HASH: "abc"})
    (listed,) = driver.runtime.list(pod.uid).sandboxes
    assert (listed.id, listed.pod, listed.state, listed.labels["mark"]) == (sandbox, pod, State.RUNNING, "1")
    (found,) = driver.runtime.list(pod.uid).containers
    assert (found.id, found.pod, found.name, found.attempt) == (container, pod, "app", 3)
    assert (found.state, found.spec_hash, found.image) == (State.CREATED, "abc", BUSYBOX)
    assert len(driver.runtime.list().sandboxes) == 2


def test_a_container_runs_and_ends_by_a_signal(driver: Driver) -> None:
    container = driver.run(FOREVER)
    running = driver.runtime.inspect(container)
    assert running.state is State.RUNNING and running.started > 0
    if driver.processes:
        time.sleep(0.3)
    driver.runtime.signal_container(container)
    found = driver.ended(container)
    assert found.exit_code == (5 if driver.processes else 143)
    assert found.finished >= found.started > 0
    driver.runtime.signal_container(container, "SIGKILL")


def test_a_container_ends_by_the_signal_that_it_waits_for(real: Driver) -> None:
    container = real.run("trap 'exit 7' USR1; trap 'exit 8' TERM; echo up; while true; do sleep 0.1; done")
    eventually(lambda: real.output(container) == "up\n", "it listens")
    real.runtime.signal_container(container, "SIGUSR1")
    assert real.ended(container).exit_code == 7
    real.runtime.signal_container(container, "SIGUSR1")


def test_a_container_that_does_not_listen_is_killed(driver: Driver) -> None:
    container = driver.run("trap '' TERM; while true; do sleep 0.1; done")
    if driver.processes:
        driver.runtime.signal_container(container)
        assert driver.runtime.inspect(container).state is State.RUNNING
    driver.runtime.signal_container(container, "SIGKILL")
    assert driver.ended(container).exit_code == 137


def test_what_is_not_there_can_be_stopped_and_removed(driver: Driver) -> None:
    nothing = "0" * 64
    driver.runtime.signal_container(nothing)
    driver.runtime.remove_container(nothing)
    driver.runtime.stop_sandbox(nothing)
    driver.runtime.remove_sandbox(nothing)
    with pytest.raises(NoSuchContainer):
        driver.runtime.inspect(nothing)


def test_a_stopped_sandbox_is_not_running(driver: Driver) -> None:
    pod = driver.pod()
    sandbox = driver.sandbox(pod)
    driver.runtime.stop_sandbox(sandbox)
    driver.runtime.stop_sandbox(sandbox)
    eventually(lambda: driver.runtime.list(pod.uid).sandboxes[0].state is State.EXITED, "the sandbox has ended")


def test_a_running_container_is_removed_at_once(driver: Driver) -> None:
    container = driver.run("trap '' TERM; while true; do sleep 0.1; done")
    driver.runtime.remove_container(container)
    with pytest.raises(NoSuchContainer):
        driver.runtime.inspect(container)


SCRIPTS = [
    ("exit status", "exit 42", {}, 42, ""),
    ("environment", "echo $A-$B", {"environment": {"A": "1", "B": "x y"}}, 0, "1-x y"),
    ("arguments", 'echo "$0"', {"arguments": ("given",)}, 0, "given"),
    ("directory", "pwd", {"working_directory": "/tmp"}, 0, "/tmp"),
    ("user", "id -u; id -g; id -G", {"security": Security("1234", "99", (7,))}, 0, "1234\n99\n99 7"),
    ("read-only root", "touch /x 2>/dev/null || echo no", {"security": Security(read_only_root=True)}, 0, "no"),
    ("no new privileges", "grep NoNewPrivs /proc/self/status",
     {"security": Security(no_new_privileges=True)}, 0, "NoNewPrivs:\t1"),
    ("capabilities", "grep CapEff /proc/self/status",
     {"security": Security(capabilities_dropped=("ALL",), capabilities_added=("CAP_NET_ADMIN",))}, 0,
     "CapEff:\t0000000000001000"),
    ("read-only places", "echo x 2>/dev/null > /proc/sysrq-trigger || echo no", {}, 0, "no"),
    ("errors too", "echo bad >&2", {}, 0, "bad"),
    ("image missing program", "no-such-program 2>/dev/null", {}, 127, ""),
]  # fmt: skip


@pytest.mark.parametrize(("script", "more", "code", "output"), [pytest.param(*s[1:], id=s[0]) for s in SCRIPTS])
def test_what_a_container_finds(real: Driver, script: str, more: dict[str, Any], code: int, output: str) -> None:
    container = real.run(script, **more)
    found = real.ended(container)
    text = eventually(lambda: real.output(container).strip() or not output, "the log is written", 5)
    assert (found.exit_code, "" if text is True else text) == (code, output)


def test_mounts_are_seen(real: Driver) -> None:
    shared = real.directory / "shared"
    shared.mkdir()
    (shared / "word").write_text("hello\n")
    mounts = (Mount(str(shared), "/rw"), Mount(str(shared), "/ro", read_only=True))
    container = real.run("cat /ro/word; touch /rw/made; touch /ro/not 2>/dev/null || echo refused", mounts=mounts)
    real.ended(container)
    eventually(lambda: real.output(container) == "hello\nrefused\n", "the log is written", 5)
    assert (shared / "made").exists() and not (shared / "not").exists()


def test_containers_of_a_pod_share_memory_and_messages_and_no_processes(real: Driver) -> None:
    pod = real.pod()
    sandbox = real.sandbox(pod)
    first = real.container(pod, sandbox, f"echo word > /dev/shm/w; readlink /proc/self/ns/ipc; {FOREVER}")
    real.runtime.start_container(first)
    ipc = eventually(lambda: real.output(first), "the first has said its namespace")
    second = real.container(pod, sandbox, "cat /dev/shm/w; readlink /proc/self/ns/ipc; echo $$", attempt=1)
    real.runtime.start_container(second)
    real.ended(second)
    eventually(lambda: real.output(second) == f"word\n{ipc}1\n", "the second has found what the first left", 5)


def test_a_command_that_cannot_start_says_why(real: Driver) -> None:
    pod = real.pod()
    with pytest.raises(ContainerRuntimeError, match="/none"):
        real.runtime.start_container(real.container(pod, real.sandbox(pod), "", command=("/none",)))


def test_commands_run_in_a_container(real: Driver) -> None:
    container = real.run(FOREVER)
    with real.here():
        session = real.runtime.exec(
            container, ("sh", "-c", "echo out; echo err >&2; exit 3"), terminal=False, stdin=False
        )
    assert everything(session) == {STDOUT: "out\n", STDERR: "err\n"}
    assert session.exit_code() == 3
    session.close()
    with real.here():
        session = real.runtime.exec(container, ("cat",), terminal=False, stdin=True)
    session.write(b"through")
    session.close_stdin()
    assert everything(session)[STDOUT] == "through"
    assert session.exit_code() == 0
    session.close()


def test_a_command_has_a_terminal_of_the_wanted_size(real: Driver) -> None:
    container = real.run(FOREVER)
    with real.here():
        session = real.runtime.exec(container, ("sh", "-c", "sleep 0.5; stty size"), terminal=True, stdin=False)
        session.resize(80, 24)
    assert everything(session)[STDOUT].strip() == "24 80"
    session.close()


def test_a_command_is_ended_early(real: Driver) -> None:
    container = real.run(FOREVER)
    with real.here():
        session = real.runtime.exec(container, ("sleep", "1000"), terminal=False, stdin=False)
    session.kill()
    everything(session)
    session.close()


def test_the_output_of_a_container_can_be_joined(real: Driver) -> None:
    container = real.run("read line; echo got $line", stdin=True, stdin_once=True)
    with real.here():
        session = real.runtime.attach(container, terminal=False, stdin=True)
    session.write(b"word\n")
    assert "got word" in everything(session)[STDOUT]
    session.close()
    assert real.ended(container).exit_code == 0


def test_limits_hold_and_can_be_changed(real: Driver) -> None:
    script = "while true; do cat /sys/fs/cgroup/memory/memory.limit_in_bytes; sleep 0.1; done"
    container = real.run(script, limits=Limits(512, 20_000, 32 * 1024**2, 100))
    eventually(lambda: str(32 * 1024**2) in real.output(container), "the first limit holds")
    real.runtime.update_container(container, Limits(512, 20_000, 64 * 1024**2))
    eventually(lambda: str(64 * 1024**2) in real.output(container), "the second limit holds")


def test_what_a_container_writes_is_counted(real: Driver) -> None:
    container = real.run(f"dd if=/dev/zero of=/f bs=1M count=3 2>/dev/null; {FOREVER}")
    pod = real.runtime.inspect(container).pod.uid
    eventually(lambda: real.runtime.disk_use(pod)[container].bytes >= 3 * 1024**2, "three megabytes are counted", 60)


def test_a_log_that_grows_is_begun_anew_and_what_was_before_is_kept(real: Driver) -> None:
    turns = real.directory / "turns"
    turns.mkdir()
    line = "i=$((i + 1)); echo line $i of a log that grows and grows"
    turn = f"while ! test -f /turns/$i; do sleep 0.05; done; end=$((i + 300)); while test $i -lt $end; do {line}; done"
    container = real.run(f"i=0; while true; do {turn}; done", mounts=(Mount(str(turns), "/turns"),))
    path = Path(real.runtime.inspect(container).log_path)
    for number in range(300, 2101, 300):
        (turns / str(number - 300)).touch()
        eventually(lambda number=number: path.exists() and f"line {number} " in path.read_text()[-200:], "it is logged")
        rotate(real.runtime, LOGS, f"{number:06}", by_itself=real.runtime.version().rotates_logs)
        eventually(path.exists, "there is a log")
    kept = [one for one in path.parent.iterdir() if one.suffix.removeprefix(".").isdigit()]
    assert 1 <= len(kept) < LOGS.files
    assert path.stat().st_size <= 2 * LOGS.largest


def test_an_end_is_told(real: Driver) -> None:
    told: list[str] = []

    def listen() -> None:
        with suppress(ContainerRuntimeError):
            for event in real.runtime.events():
                told.append(event.pod_uid)

    listener = threading.Thread(target=listen)
    listener.start()
    try:
        container = real.run("sleep 1.5")
        pod = real.runtime.inspect(container).pod.uid
        real.ended(container)
        eventually(lambda: pod in told, "the end was told")
    finally:
        real.runtime.close()
        listener.join(10)
