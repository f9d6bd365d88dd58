"""What the kubelet asks of a container runtime, and the values it gets back.

A pod is a sandbox (the namespaces that its containers share) and containers in it. Each carries labels from
which the kubelet rebuilds all it must know, so that it may be killed and started at any moment.

Invariant: every removal and stop may be repeated; what is not there is no error. A driver raises only
`ContainerRuntimeError` and its subclasses.
Source: the verbs and values follow CRI (k8s.io/cri-api), reduced to what the kubelet here uses.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple, Protocol

POD_NAME = "io.kubernetes.pod.name"
POD_NAMESPACE = "io.kubernetes.pod.namespace"
POD_UID = "io.kubernetes.pod.uid"
CONTAINER_NAME = "io.kubernetes.container.name"
CONTAINER_IMAGE = "io.kubernetes.container.image"
CONTAINER_IMAGE_ID = "io.kubernetes.container.imageID"
CONTAINER_IMAGE_DIGEST = "io.kubernetes.container.imageDigest"
CONTAINER_HASH = "io.kubernetes.container.hash"
CONTAINER_RESOURCES = "io.kubernetes.container.resources"
RESTART_COUNT = "io.kubernetes.container.restartCount"
SANDBOX_ID = "io.kubernetes.sandbox.id"
LOG_PATH = "io.kubernetes.container.logPath"
KIND = "io.kubernetes.container.type"
MOUNTED_IMAGES = "io.kubernetes.container.mountedImages"

# Microseconds in which a container may use its quota of CPU.
CPU_PERIOD = 100_000
# The exit status of a container whose process could not be started.
UNSTARTED = 128
# Users and groups that a pod with users of its own has.
USERS = 65536


class ContainerRuntimeError(Exception):
    """The runtime refused or failed; the text says what and why."""


class RuntimeDown(ContainerRuntimeError):
    """The runtime does not answer, so that nobody knows what became of what was asked."""


class NoSuchContainer(ContainerRuntimeError):
    """The container or sandbox named is not there."""


class ImageNotPresent(ContainerRuntimeError):
    """The image is not in the node's storage."""


class ImagePullError(ContainerRuntimeError):
    """The registry or the storage refused the image."""


class State(StrEnum):
    """Where a container is in its life."""

    CREATED = "created"
    RUNNING = "running"
    EXITED = "exited"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class PodIdentity:
    """Which pod something belongs to."""

    name: str
    namespace: str
    uid: str


@dataclass(frozen=True, slots=True)
class Image:
    """An image in the node's storage; size in bytes; `user` is its USER instruction; a pinned one always stays."""

    id: str
    names: tuple[str, ...] = ()
    digests: tuple[str, ...] = ()
    size: int = 0
    user: str = ""
    pinned: bool = False


@dataclass(frozen=True, slots=True)
class Credentials:
    """A registry's user and password."""

    username: str
    password: str


@dataclass(frozen=True, slots=True)
class Mount:
    """A path of the node that a container sees; propagation is rprivate, rslave or rshared.

    `recursive` makes what is mounted below it read-only too.
    """

    source: str
    target: str
    read_only: bool = False
    recursive: bool = False
    propagation: str = "rprivate"


@dataclass(frozen=True, slots=True)
class ImageMount:
    """An image whose files a container sees, read-only, at `target`; all of it, or what lies at `sub_path` in it.

    `directory` is where a driver may mount it, if it has to; what is mounted there goes with the pod's volumes.
    """

    image_id: str
    target: str
    sub_path: str = ""
    directory: str = ""


@dataclass(frozen=True, slots=True)
class Limits:
    """Cgroup limits; 0 is no limit. Memory in bytes, CPU quota in microseconds of each CPU_PERIOD.

    `huge_pages` has for each size of pages, as 2MB, how many bytes of such pages may be taken; here 0 is none at all.
    With `ends_whole` all processes end when the kernel ends one for want of memory; only cgroups of version 2 can.
    """

    cpu_shares: int = 0
    cpu_quota: int = 0
    memory: int = 0
    pids: int = 0
    huge_pages: tuple[tuple[str, int], ...] = ()
    ends_whole: bool = False

    @property
    def unified(self) -> dict[str, str]:
        """What is said as files of cgroups of version 2."""
        return {"memory.oom.group": "1"} if self.ends_whole else {}


@dataclass(frozen=True, slots=True)
class Security:
    """Who a container's process is and what it may do. "" leaves the choice to the image or the runtime.

    With `only_these_groups` the groups that the image gives the user are left out.
    """

    user: str = ""
    group: str = ""
    supplemental_groups: tuple[int, ...] = ()
    only_these_groups: bool = False
    privileged: bool = False
    read_only_root: bool = False
    no_new_privileges: bool = False
    capabilities_added: tuple[str, ...] = ()
    capabilities_dropped: tuple[str, ...] = ()
    seccomp_profile: str = ""
    unmasked: bool = False


@dataclass(frozen=True, slots=True)
class SandboxSpec:
    """A sandbox to make. `network_namespace` is a path, or "" for the node's own network.

    `first_user` is which of the node's users and groups is the pod's 0; 0 for the node's own. A pod that has USERS of
    its own from there on has its network namespace made with its sandbox, and mounted at that path. `resolver` are its
    name servers, search domains and options.
    """

    pod: PodIdentity
    attempt: int
    hostname: str
    network_namespace: str = ""
    host_pid: bool = False
    host_ipc: bool = False
    first_user: int = 0
    cgroup_parent: str = ""
    sysctls: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    handler: str = ""
    share_processes: bool = False
    privileged: bool = False
    log_directory: str = ""
    resolver: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class Sandbox:
    """A sandbox as the runtime has it; times are seconds since the epoch."""

    id: str
    pod: PodIdentity
    attempt: int
    state: State
    created: float
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ContainerSpec:
    """A container to make in a sandbox. `command` replaces the image's entrypoint, `arguments` its command.

    `image_digest` is how the image can be had again, "" if it came from no registry. `target_id` is the container whose
    processes it sees.
    """

    pod: PodIdentity
    name: str
    attempt: int
    sandbox_id: str
    image_id: str
    image: str
    log_path: str
    image_digest: str = ""
    command: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    working_directory: str = ""
    mounts: tuple[Mount, ...] = ()
    images: tuple[ImageMount, ...] = ()
    limits: Limits = Limits()
    security: Security = Security()
    share_processes: bool = False
    target_id: str = ""
    host_pid: bool = False
    host_ipc: bool = False
    first_user: int = 0
    network_namespace: str = ""
    hostname: str = ""
    cgroup_parent: str = ""
    oom_score_adjust: int = 0
    terminal: bool = False
    stdin: bool = False
    stdin_once: bool = False
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ProcessUser:
    """Who a container's first process began as; `groups` has the primary one too."""

    user: int
    group: int
    groups: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Container:
    """A container as the runtime has it; times are seconds since the epoch, 0 if not yet.

    `message` is what it left at its terminationMessagePath; the kubelet fills it in from its own files. `user` is None
    where the runtime does not tell. `mounted_images` are the ids of images that it has as volumes.
    """

    id: str
    pod: PodIdentity
    name: str
    attempt: int
    sandbox_id: str
    state: State
    image: str
    image_id: str
    created: float = 0.0
    started: float = 0.0
    finished: float = 0.0
    exit_code: int = 0
    log_path: str = ""
    spec_hash: str = ""
    resources: str = ""
    process: int = 0
    image_digest: str = ""
    message: str = ""
    out_of_memory: bool = False
    user: ProcessUser | None = None
    mounted_images: tuple[str, ...] = ()


class Written(NamedTuple):
    """What a container has written into its own root; `files` is None where the runtime cannot tell."""

    bytes: int = 0
    files: int | None = None


@dataclass(frozen=True, slots=True)
class Inventory:
    """What the runtime has of one pod, or of all."""

    sandboxes: tuple[Sandbox, ...] = ()
    containers: tuple[Container, ...] = ()


@dataclass(frozen=True, slots=True)
class RuntimeEvent:
    """A hint that something happened to a pod; what it is now, `list` tells."""

    pod_uid: str
    container_id: str
    what: str


@dataclass(frozen=True, slots=True)
class Version:
    """The runtime's name and version (podman 4.3.1), whether cgroup parents are systemd slices, where images lie.

    `recursive_read_only` says that what is mounted below a read-only mount can be read-only too; `group_policy` that
    the groups of the image can be left out; `user_namespaces` that pods can have users of their own; `rotates_logs`
    that it begins logs anew by itself, at the size that it was told.
    """

    name: str
    version: str
    systemd_cgroups: bool = False
    image_directory: str = "/"
    recursive_read_only: bool = False
    group_policy: bool = False
    user_namespaces: bool = False
    rotates_logs: bool = False


STDIN, STDOUT, STDERR = 0, 1, 2


class Session(Protocol):
    """A running exec or attach: frames out, bytes in."""

    def read(self) -> tuple[int, bytes] | None:
        """The next (STDOUT or STDERR, bytes); None once the output has ended. With a terminal all is STDOUT."""

    def write(self, data: bytes) -> None:
        """Give bytes to the process's standard input."""

    def close_stdin(self) -> None:
        """Tell the process that its input has ended."""

    def resize(self, width: int, height: int) -> None:
        """Set the terminal's size, in characters."""

    def exit_code(self) -> int:
        """The process's exit status, once the output has ended; 0 for attach."""

    def kill(self) -> None:
        """End an executed process that still runs; an attached container goes on."""

    def close(self) -> None:
        """Let go of the connection."""


class ContainerRuntime(Protocol):
    """One node's container runtime."""

    def version(self) -> Version:
        """Which runtime this is. Raises ContainerRuntimeError if it does not answer."""

    def list_images(self) -> list[Image]:
        """Every image in the storage."""

    def image(self, reference: str) -> Image | None:
        """The image of that name, digest or id, or None if it is not present."""

    def pull_image(self, reference: str, credentials: Credentials | None = None) -> Image:
        """Fetch an image. Raises ImagePullError."""

    def remove_image(self, image_id: str) -> None:
        """Remove an image and its names."""

    def create_sandbox(self, spec: SandboxSpec) -> str:
        """Make and start a sandbox; its id."""

    def stop_sandbox(self, sandbox_id: str) -> None:
        """End what holds the sandbox's namespaces."""

    def remove_sandbox(self, sandbox_id: str) -> None:
        """Remove a sandbox; its containers must be gone."""

    def create_container(self, spec: ContainerSpec) -> str:
        """Make a container; its id. Raises ImageNotPresent."""

    def start_container(self, container_id: str) -> None:
        """Start a created container."""

    def signal_container(self, container_id: str, signal: str = "") -> None:
        """Send a signal to its first process; "" is the image's stop signal, else SIGTERM. Gone is no error."""

    def update_container(self, container_id: str, limits: Limits) -> None:
        """Put other limits into effect on a running container."""

    def reopen_log(self, container_id: str) -> None:
        """Write on into a new file of the log's name, as the old one was moved away."""

    def remove_container(self, container_id: str) -> None:
        """Remove a container, ending it at once if it runs."""

    def inspect(self, container_id: str) -> Container:
        """One container. Raises NoSuchContainer."""

    def list(self, pod_uid: str = "") -> Inventory:
        """The sandboxes and containers of one pod, or of all pods."""

    def exec(self, container_id: str, command: tuple[str, ...], *, terminal: bool, stdin: bool) -> Session:
        """Run a command in a running container."""

    def attach(self, container_id: str, *, terminal: bool, stdin: bool) -> Session:
        """Join the streams of the container's own process."""

    def disk_use(self, pod_uid: str) -> dict[str, Written]:
        """What each container of a pod has written into its own root, by id."""

    def events(self) -> Iterator[RuntimeEvent]:
        """Hints as they come, until the connection breaks (ContainerRuntimeError)."""

    def close(self) -> None:
        """Break `events` so that its reader ends."""
