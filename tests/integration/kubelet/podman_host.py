"""A node of its own for tests: namespaces, a Podman service, a control plane and a kubelet in them.

Everything runs in a private mount and network namespace and under one temporary directory, so the machine's own
interfaces, mounts and containers are not touched. Needs root and Podman.
"""

from __future__ import annotations

import io
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from image_registry import PLACE

from agents.network.namespaces import inside, share
from api import kubeconfig
from api.client import Client
from api.objects import is_true
from api.transport import Request, Response, Transport, TransportError, UnixTransport

BUSYBOX = "localhost/test/busybox:1"
# The same, which says itself what it runs, and as whom.
SPEAKER = "localhost/test/speaker:1"
PAUSE = "localhost/wherry/pause:1"
NODE = "node1"
# Who is known in the image.
ACCOUNTS = {
    "passwd": "root:x:0:0::/:/bin/sh\nclerk:x:1500:1501::/:/bin/sh\n",
    "group": "root:x:0:\nclerk:x:1501:\nextra:x:50000:clerk\n",
}
# The last are the commands by which monitors tell Podman of an end, some seconds after it.
_MONITORS = (b"conmon", b"containerd-shim", b"podman")
_ROOT = Path(__file__).resolve().parents[3]
_CONTAINERS_CONF = """[containers]
log_driver = "k8s-file"
default_capabilities = [
  "AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE", "NET_RAW",
  "SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT",
]
default_ulimits = ["nofile=4096:4096", "nproc=8192:8192"]
[engine]
events_logger = "file"
cgroup_manager = "cgroupfs"
runtime = "crun"
exit_command_delay = 10
"""
_REGISTRIES = f"""[[registry]]
location = "{PLACE}"
insecure = true
"""
# A hybrid hierarchy is refused by crun, so the unified part is hidden from Podman.
_HOLDER = """
mountpoint -q /sys/fs/cgroup/unified && umount /sys/fs/cgroup/unified
ip link set lo up
ip link add eth0 type veth peer name uplink && ip link set uplink up
ip addr add 192.0.2.10/24 dev eth0 && ip link set eth0 up && ip route add default via 192.0.2.1
mount -t tmpfs tmpfs /run && mkdir /run/netns
echo ready
exec sleep infinity
"""


def missing() -> str:
    """Why such a node cannot be made here, or ""."""
    if os.geteuid() != 0:
        return "needs root"
    programs = ("podman", "crun", "conmon", "catatonit", "busybox", "nsenter", "unshare", "ip")
    absent = [name for name in programs if shutil.which(name) is None]
    return f"needs {', '.join(absent)}" if absent else ""


def eventually(check: Callable[[], Any], what: str, seconds: float = 40.0) -> Any:
    """The first true answer of `check`. Fails with `what` and the last answer if there is none in time."""
    deadline, last = time.monotonic() + seconds, None
    while time.monotonic() < deadline:
        last = check()
        if last:
            return last
        time.sleep(0.1)
    raise AssertionError(f"after {seconds:.0f} s still not: {what}; last seen: {last!r}")


class InsideTransport:
    """Sends requests from within a network namespace."""

    def __init__(self, inner: Transport, namespace: str) -> None:
        self._inner = inner
        self._namespace = namespace

    def send(self, request: Request, *, timeout: float | None = 30.0, stream: bool = False) -> Response:
        with inside(self._namespace):
            return self._inner.send(request, timeout=timeout, stream=stream)


class Host:
    """The namespaces, and the processes started in them."""

    def __init__(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="wk-"))
        # What a driver in the test's own process mounts here must be seen within, and nothing the other way.
        self.sandboxes = self.directory / "sandboxes"
        share(self.sandboxes)
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._holder = subprocess.Popen(
            ["unshare", "--net", "--mount", "--propagation", "slave", "sh", "-ec", _HOLDER], stdout=subprocess.PIPE
        )
        assert self._holder.stdout is not None
        if self._holder.stdout.readline() != b"ready\n":
            raise RuntimeError("the namespaces of the test node could not be made")
        (self.directory / "containers.conf").write_text(_CONTAINERS_CONF)
        (self.directory / "registries.conf").write_text(_REGISTRIES)

    @property
    def cgroup(self) -> str:
        """The control group of this host's own, so that it shares none with others on the machine."""
        return self.directory.name

    @property
    def namespace(self) -> str:
        """The path of the network namespace."""
        return f"/proc/{self._holder.pid}/ns/net"

    def command(self, *words: str) -> list[str]:
        """A command line that runs within the namespaces."""
        settings = [f"CONTAINERS_CONF={self.directory}/containers.conf"]
        settings += [f"CONTAINERS_REGISTRIES_CONF={self.directory}/registries.conf"]
        path = f"PATH={self.directory}/bin:{os.environ['PATH']}"
        return ["nsenter", "-t", str(self._holder.pid), "-n", "-m", "env", *settings, path, *words]

    def run(self, *words: str, check: bool = True) -> str:
        """Run a command within the namespaces; its output."""
        done = subprocess.run(self.command(*words), capture_output=True, text=True, check=False)
        assert not check or done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
        return done.stdout

    def start(self, name: str, *words: str) -> None:
        """Start a long-running command; its output goes to NAME.log."""
        with (self.directory / f"{name}.log").open("ab") as log:
            self._processes[name] = subprocess.Popen(
                self.command(*words), stdout=log, stderr=log, start_new_session=True
            )

    def pid(self, name: str) -> int:
        """The process of a command started here (nsenter becomes it)."""
        return self._processes[name].pid

    def kill(self, name: str, number: int = signal.SIGKILL) -> None:
        """End a command and wait for it."""
        process = self._processes.pop(name)
        process.send_signal(number)
        process.wait(30)

    def log(self, name: str) -> str:
        """What a command has written."""
        return (self.directory / f"{name}.log").read_text()

    def podman(self, *words: str) -> str:
        """The podman command on this host's storage."""
        return self.run(*self.podman_words(), *words)

    def podman_words(self) -> tuple[str, ...]:
        """`podman` with this host's storage."""
        return (
            *("podman", "--root", f"{self.directory}/root", "--runroot", f"{self.directory}/run"),
            *("--tmpdir", f"{self.directory}/tmp", "--storage-driver", "overlay"),
        )

    def small_files(self) -> dict[str, Path]:
        """What is in images: one program, and who is known."""
        files = {"bin/busybox": Path(shutil.which("busybox") or "")}
        for name, text in ACCOUNTS.items():
            files[f"etc/{name}"] = self.directory / name
            files[f"etc/{name}"].write_text(text)
        return files

    def close(self) -> None:
        """End everything and leave nothing."""
        try:
            for name in reversed(list(self._processes)):
                self.kill(name, signal.SIGTERM)
            # Sandboxes can only be removed once the containers that use their namespaces are.
            for _ in range(2):
                self.run(*self.podman_words(), "rm", "--all", "--force", "--time", "0", check=False)
        finally:
            eventually(lambda: _end_all(self.directory), "nothing works in the host's directory any more", 20)
            self._holder.kill()
            self._holder.wait(10)
            for mount in _mounts_below(self.directory):
                subprocess.run(["umount", "--lazy", mount], check=False)
            _remove_cgroups(self.cgroup)
            shutil.rmtree(self.directory)


class Node(Host):
    """A host with a runtime, a control plane in memory, and a kubelet, which gets `options` too."""

    def __init__(self, *options: str) -> None:
        super().__init__()
        self.options = options
        self.podman_socket = self.directory / "podman.sock"
        self.manifests = self.directory / "manifests"
        self.manifests.mkdir()
        self.client: Client

    def start_runtime(self) -> None:
        """What runs containers, and the images for them."""
        self.start_podman()
        self.load_images()

    def containers(self) -> list[str]:
        """The ids of all containers, also of those that have ended."""
        return self.podman("ps", "--all", "--quiet", "--no-trunc").split()

    def images(self) -> set[str]:
        """The images' names. Podman fails to list them while one is being removed: it is asked again then."""
        words = self.command(*self.podman_words(), "images", "--format", "{{.Repository}}:{{.Tag}}")

        def listed() -> set[str] | None:
            done = subprocess.run(words, capture_output=True, text=True, check=False)
            return set(done.stdout.split()) if done.returncode == 0 else None

        found: set[str] = eventually(listed, "Podman lists its images")
        return found

    def start_podman(self) -> None:
        """The Podman service."""
        service = ("system", "service", "--time=0", f"unix://{self.podman_socket}")
        self.start("podman", *self.podman_words(), *service)
        eventually(self._podman_answers, "podman answers")

    def load_images(self) -> None:
        """The pause image, and small ones for containers."""
        self.import_image(PAUSE, {"catatonit": Path(shutil.which("catatonit") or "")})
        self.import_image(BUSYBOX, self.small_files(), applets=True)
        self.load_speaker()

    def load_speaker(self) -> None:
        """The image that has a user, a directory and words of its own."""
        says = ('ENTRYPOINT ["/bin/echo", "said"]', 'CMD ["by", "itself"]', "USER 1234", "WORKDIR /tmp")
        self.import_image(SPEAKER, self.small_files(), *says, applets=True)

    def import_image(self, name: str, files: dict[str, Path], *changes: str, applets: bool = False) -> None:
        """An image of these files; with `applets`, links for all that busybox can do."""
        body = io.BytesIO()
        with tarfile.open(fileobj=body, mode="w") as archive:
            for target, source in files.items():
                archive.add(source, target)
            directory = tarfile.TarInfo("tmp")
            directory.type, directory.mode = tarfile.DIRTYPE, 0o1777
            archive.addfile(directory)
            for applet in subprocess.run(["busybox", "--list"], capture_output=True, text=True).stdout.split():
                if applets and applet != "busybox":
                    link = tarfile.TarInfo(f"bin/{applet}")
                    link.type, link.linkname = tarfile.SYMTYPE, "busybox"
                    archive.addfile(link)
        request = Request(
            "POST",
            f"/v4.0.0/libpod/images/import?{urlencode([('reference', name), *(('changes', one) for one in changes)])}",
            {"Content-Type": "application/x-tar"},
            body.getvalue(),
        )
        answer = UnixTransport(str(self.podman_socket)).send(request)
        assert answer.status == 200, answer.read()

    def start_control_plane(self) -> None:
        """API server, scheduler and controllers."""
        words = ("--data-dir", f"{self.directory}/server", "--store", "memory", "--listen", "127.0.0.1:6443")
        self.start("server", sys.executable, "-m", "control.cli.main", "server", *words)
        eventually(lambda: "ready" in self.log("server"), "the control plane is ready")
        transport = kubeconfig.load(self.directory / "server" / "admin.kubeconfig")
        self.client = Client(InsideTransport(transport, self.namespace), user_agent="tests")

    def start_cluster(self) -> None:
        """The control plane and the kubelet, until the node is Ready and serves."""
        self.start_control_plane()
        self.start_kubelet()
        eventually(lambda: _is_ready(self), "the node is Ready")
        eventually(lambda: "server listens" in self.log("kubelet"), "the kubelet serves")

    def start_kubelet(self, *options: str) -> None:
        """The kubelet; again after it was killed."""
        words = [
            *("--kubeconfig", f"{self.directory}/kubelet/kubelet.kubeconfig"),
            *("--proxy-kubeconfig", f"{self.directory}/kubelet/proxy.kubeconfig"),
            *("--bootstrap-kubeconfig", f"{self.directory}/server/admin.kubeconfig"),
            *("--node-name", NODE, "--root-dir", f"{self.directory}/kubelet"),
            *("--pod-logs-dir", f"{self.directory}/log/pods"),
            *("--podman-socket", f"unix:{self.podman_socket}", "--cluster-dns", "10.96.0.10"),
            *("--cgroup-root", self.cgroup, "--sync-frequency", "5", "--node-lease-duration", "8"),
            *("--pod-manifest-path", str(self.manifests)),
            *self.options,
            *options,
        ]
        self.start("kubelet", sys.executable, "-m", "control.cli.main", "kubelet", *words)

    def kubectl(self, program: Path, *words: str, check: bool = True) -> str:
        """kubectl as the administrator."""
        return self.run(str(program), "--kubeconfig", f"{self.directory}/server/admin.kubeconfig", *words, check=check)

    def _podman_answers(self) -> bool:
        try:
            return UnixTransport(str(self.podman_socket)).send(Request("GET", "/v4.0.0/libpod/_ping")).status == 200
        except TransportError:
            return False


def _is_ready(host: Node) -> bool:
    found = host.client.list("nodes").items
    return len(found) == 1 and found[0]["metadata"]["name"] == NODE and is_true(found[0], "Ready")


def _end_all(directory: Path) -> bool:
    """Kill what is left; whether nothing was."""
    found = _processes_naming(directory)
    for process in found:
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
    return not found


def _processes_naming(directory: Path) -> list[int]:
    """Monitors of containers that outlive this host's runtime for a while: its directory is in their words."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            words = (entry / "cmdline").read_bytes()
        except OSError:
            continue
        if (
            entry.name.isdigit()
            and f"{directory}/".encode() in words
            and (b"conmon" in words or b"containerd-shim" in words)
        ):
            found.append(int(entry.name))
    return found


def _mounts_below(directory: Path) -> list[str]:
    points = [line.split(" ")[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    return sorted((point for point in points if point.startswith(f"{directory}/")), reverse=True)


def _remove_cgroups(name: str) -> None:
    for group in [*Path("/sys/fs/cgroup").glob(f"*/{name}"), *Path("/sys/fs/cgroup").glob(name)]:
        for processes in group.rglob("cgroup.procs"):
            for word in processes.read_text().split():
                with suppress(ProcessLookupError):
                    os.kill(int(word), signal.SIGKILL)
        for inner in sorted((entry for entry in group.rglob("*") if entry.is_dir()), reverse=True):
            _try_rmdir(inner)
        _try_rmdir(group)


def _try_rmdir(directory: Path) -> None:
    try:
        directory.rmdir()
    except OSError:
        return
