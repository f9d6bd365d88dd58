"""Turns a pod's spec into sandboxes and containers for the runtime, with the files they need on the node.

Invariant: building again gives the same; what is missing is said as a `StartProblem` or `NotReadyToStart` in the
original's words.
Source: kubelet's GenerateRunContainerOptions and kuberuntime's generateContainerConfig.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from agents.kubelet.cgroups import PodCgroups
from agents.kubelet.pod_logs import PodLogs
from agents.kubelet.pods import hosts, limits, spec, users
from agents.kubelet.pods.environment import Sources, Surroundings, environment, expand, expand_all
from agents.kubelet.pods.image_names import digest_of
from agents.kubelet.pods.performer import ImagesOf, NotReadyToStart, StartProblem
from agents.kubelet.pods.plan import Start
from agents.kubelet.pods.security import Seccomp, security
from agents.kubelet.runtime.interface import (
    CONTAINER_HASH,
    CONTAINER_RESOURCES,
    Container,
    ContainerSpec,
    ImageMount,
    Limits,
    Mount,
    Sandbox,
    SandboxSpec,
)
from agents.kubelet.usage import pod_usage
from agents.kubelet.volumes.manager import VolumeManager
from agents.kubelet.volumes.payload import Certificates, Collector, Tokens, VolumeError
from api.errors import ApiError
from api.objects import Object, uid_of
from api.runtime import Runtime
from api.transport import TransportError

_CONFIG_ERROR = "CreateContainerConfigError"
_PROPAGATION = {"HostToContainer": "rslave", "Bidirectional": "rshared"}
_NETWORK_NAMESPACE = "io.kubernetes.network.namespace"
TERMINATION_LOG = "/dev/termination-log"


@dataclass(frozen=True, slots=True)
class BuilderSettings:
    """What the node adds to every container."""

    dns: hosts.DnsSettings
    seccomp: Seccomp
    systemd_cgroups: bool = False
    recursive_read_only: bool = False
    pids_limit: int = 4096
    node_memory: int = 0
    huge_page_sizes: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class PodBuilder:
    """Builds for one node. `around()` tells services, node addresses and allocatable resources.

    `share()` shares the CPU among the classes of pods anew; `turn` lets one pod at a time choose its users.
    """

    clock: Runtime
    settings: BuilderSettings
    volumes: VolumeManager
    cgroups: PodCgroups
    logs: PodLogs
    sources: Sources
    tokens: Tokens
    certificates: Certificates
    around: Callable[[tuple[str, ...]], Surroundings]
    share: Callable[[], None]
    turn: AbstractContextManager[object]

    def prepare(self, pod: Object, addresses: tuple[str, ...] = ()) -> None:
        """Set the pod's volumes up, or bring them up to date. Raises NotReadyToStart."""
        try:
            around = self._around(pod, addresses)
            self.volumes.set_up(pod, Collector(self.sources, self.tokens, around, self.certificates))
        except VolumeError as error:
            raise NotReadyToStart("FailedMount", str(error)) from error

    def sandbox(self, pod: Object, attempt: int, namespace_path: str) -> SandboxSpec:
        """The sandbox to make."""
        context = pod["spec"].get("securityContext") or {}
        try:
            hostname = hosts.host_name_in_container(pod, self.settings.dns.domain)
        except ValueError as error:
            raise NotReadyToStart("FailedCreatePodSandBox", str(error)) from error
        return SandboxSpec(
            pod=spec.identity(pod),
            attempt=attempt,
            hostname=hostname,
            network_namespace=namespace_path,
            host_pid=bool(pod["spec"].get("hostPID")),
            host_ipc=bool(pod["spec"].get("hostIPC")),
            first_user=self._first_user(pod),
            cgroup_parent=self._cgroup(pod),
            sysctls={entry["name"]: entry["value"] for entry in context.get("sysctls") or []},
            labels={_NETWORK_NAMESPACE: namespace_path},
            handler=self._handler(pod),
            share_processes=spec.shares_processes(pod),
            privileged=any(
                (entry.get("securityContext") or {}).get("privileged") for entry in spec.all_containers(pod)
            ),
            log_directory=str(self.logs.directory(spec.identity(pod))),
            resolver=hosts.resolver(pod, self.settings.dns),
        )

    def warnings(self, pod: Object) -> list[tuple[str, str]]:
        """Reason and sentence of what users should know of the sandbox to make."""
        return hosts.resolver_warnings(pod, self.settings.dns)

    def _first_user(self, pod: Object) -> int:
        return users.first_user(self.volumes.directory(uid_of(pod)), self.turn) if spec.has_own_users(pod) else 0

    def _handler(self, pod: Object) -> str:
        """The runtime's name of the pod's RuntimeClass, "" for its default. Raises NotReadyToStart."""
        name = pod["spec"].get("runtimeClassName")
        if not name:
            return ""
        try:
            found = self.sources.get("runtimeclasses.node.k8s.io", "", name)
        except (ApiError, TransportError) as error:
            raise NotReadyToStart("FailedCreatePodSandBox", f"RuntimeClass {name} cannot be read: {error}") from error
        if found is None:
            message = f'Failed to create pod sandbox: runtimeclasses.node.k8s.io "{name}" not found'
            raise NotReadyToStart("FailedCreatePodSandBox", message)
        return str(found.get("handler") or "")

    def resize(self, pod: Object) -> None:
        """Bring the pod's own control group to the sum of what its containers may use, and those above it."""
        self.cgroups.limit(self._cgroup(pod), replace(limits.pod_limits(pod), pids=self.settings.pids_limit))
        self.share()

    def memory_in_use(self, pod: Object, container_id: str = "") -> int:
        """The bytes of memory that a container, or the pod, cannot do without now; 0 if nobody counts them."""
        found = pod_usage(self.cgroups, uid_of(pod), [container_id] if container_id else [], 0.0)
        use = found and (found.containers.get(container_id) if container_id else found.pod)
        return use.working_set if use else 0

    def _around(self, pod: Object, addresses: tuple[str, ...]) -> Surroundings:
        found = self.around(addresses)
        return replace(found, addresses=found.host_addresses) if spec.is_host_network(pod) else found

    def _limits(self, pod: Object, container: Object) -> Limits:
        """Source: for how a container ends that takes too much, kubelet's singleProcessOOMKill, as it is unset."""
        found = limits.container_limits(pod, container, self.settings.pids_limit, self.settings.huge_page_sizes)
        return replace(found, ends_whole=self.cgroups.unified)

    def _cgroup(self, pod: Object) -> str:
        return limits.cgroup_parent(pod, self.settings.systemd_cgroups, self.cgroups.parent)

    def container(
        self,
        pod: Object,
        container: Object,
        start: Start,
        sandbox: Sandbox,
        images: ImagesOf,
        addresses: tuple[str, ...],
    ) -> ContainerSpec:
        """The container to make. Raises StartProblem."""
        around = self._around(pod, addresses)
        try:
            files = partial(self.volumes.read, pod)
            variables = environment(pod, container, self.sources, around, files)
            mounts = self._mounts(pod, container, start, addresses, variables)
            log_path = self.logs.path(spec.identity(pod), start.name, start.attempt)
        except (VolumeError, ApiError, TransportError, OSError) as error:
            raise StartProblem(_CONFIG_ERROR, str(error)) from error
        self.resize(pod)
        return ContainerSpec(
            pod=spec.identity(pod),
            name=start.name,
            attempt=start.attempt,
            sandbox_id=sandbox.id,
            image_id=images.own.id,
            image=container.get("image", ""),
            image_digest=digest_of(container.get("image", ""), images.own.digests),
            log_path=str(log_path),
            command=tuple(expand(text, variables) for text in container.get("command") or []),
            arguments=tuple(expand(text, variables) for text in container.get("args") or []),
            environment=variables,
            working_directory=container.get("workingDir") or "",
            mounts=mounts,
            images=tuple(
                ImageMount(
                    images.volumes[mount["name"]].id,
                    mount["mountPath"],
                    mount.get("subPath") or expand_all(mount.get("subPathExpr") or "", variables),
                    str(self.volumes.image_directory(pod, mount["name"])),
                )
                for mount, _ in spec.image_mounts(pod, container)
            ),
            limits=self._limits(pod, container),
            security=security(pod, container, images.own, self.settings.seccomp),
            share_processes=spec.shares_processes(pod),
            target_id=start.target_id,
            host_pid=bool(pod["spec"].get("hostPID")),
            host_ipc=bool(pod["spec"].get("hostIPC")),
            first_user=self._first_user(pod),
            network_namespace=sandbox.labels.get(_NETWORK_NAMESPACE, ""),
            hostname=hosts.host_name_in_container(pod, self.settings.dns.domain),
            cgroup_parent=self._cgroup(pod),
            oom_score_adjust=limits.oom_score(pod, container, self.settings.node_memory),
            terminal=bool(container.get("tty")),
            stdin=bool(container.get("stdin")),
            stdin_once=bool(container.get("stdinOnce")),
            labels={
                CONTAINER_HASH: spec.container_hash(container),
                CONTAINER_RESOURCES: spec.resources_text(pod, container),
            },
        )

    def started(self, wanted: ContainerSpec, container_id: str) -> None:
        """Show the log of a container that runs now."""
        self.logs.show(wanted, container_id)

    def removed(self, container: Container) -> None:
        """Take the log of a container that was removed away."""
        self.logs.discard(container)

    def tear_down(self, uid: str) -> None:
        """Take the volumes of a pod that has ended down; its logs stay. Raises NotReadyToStart if that has to wait."""
        try:
            self.volumes.tear_down(uid)
        except OSError as error:
            raise NotReadyToStart("FailedUnMount", f"the pod's volumes cannot be removed: {error}") from error

    def release(self, uid: str) -> None:
        """Take away all that the pod has on the node. Raises NotReadyToStart if that has to wait."""
        self.tokens.forget(uid)
        self.certificates.forget(uid)
        try:
            self.cgroups.remove(uid)
            self.share()
            self.volumes.release(uid)
            self.logs.release(uid)
        except OSError as error:
            raise NotReadyToStart("FailedUnMount", f"the pod's directory cannot be removed: {error}") from error

    def termination_log(self, uid: str, name: str, attempt: int) -> Path:
        """Where a container's termination message lies on the node."""
        return self.volumes.directory(uid) / "containers" / name / str(attempt)

    def _mounts(
        self, pod: Object, container: Object, start: Start, addresses: tuple[str, ...], variables: dict[str, str]
    ) -> tuple[Mount, ...]:
        of_images = [mount for mount, _ in spec.image_mounts(pod, container)]
        entries = [entry for entry in container.get("volumeMounts") or [] if entry not in of_images]
        found = [self._volume_mount(pod, container, index, entry, variables) for index, entry in enumerate(entries)]
        taken = {mount.target for mount in found}
        directory = self.volumes.directory(uid_of(pod))
        directory.mkdir(parents=True, exist_ok=True)
        node_hosts = Path("/etc/hosts")
        own = {
            "/etc/hosts": hosts.hosts_file(
                pod, addresses, node_hosts.read_text() if node_hosts.exists() else "", self.settings.dns.domain
            ),
            "/etc/resolv.conf": hosts.resolver(pod, self.settings.dns).file(),
        }
        for target, text in own.items():
            if target not in taken:
                path = directory / target.strip("/").replace("/", "-")
                if not path.exists() or path.read_text() != text:
                    path.write_text(text)
                found.append(Mount(str(path), target))
        message = self.termination_log(uid_of(pod), start.name, start.attempt)
        message.parent.mkdir(parents=True, exist_ok=True)
        message.touch(mode=0o666)
        message.chmod(0o666)
        found.append(Mount(str(message), str(Path("/", container.get("terminationMessagePath") or TERMINATION_LOG))))
        return tuple(found)

    def _volume_mount(
        self, pod: Object, container: Object, index: int, entry: Object, variables: dict[str, str]
    ) -> Mount:
        relative = entry.get("subPath") or expand_all(entry.get("subPathExpr") or "", variables)
        if relative:
            source = self.volumes.sub_path(pod, entry, relative, container["name"], index)
        else:
            source = self.volumes.path(pod, entry["name"])
            if not source.exists():
                source.mkdir(parents=True)
        propagation = _PROPAGATION.get(entry.get("mountPropagation") or "", "rprivate")
        read_only = bool(entry.get("readOnly")) or self.volumes.is_read_only(pod, entry["name"])
        wanted = entry.get("recursiveReadOnly") or "Disabled"
        if wanted == "Enabled" and not self.settings.recursive_read_only:
            name = entry["name"]
            raise VolumeError(
                f'volume "{name}" requested recursive read-only mount, but it is not supported by the runtime'
            )
        recursive = read_only and wanted != "Disabled" and self.settings.recursive_read_only
        return Mount(str(source), entry["mountPath"], read_only, recursive, propagation)
