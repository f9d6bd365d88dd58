"""The node's resources in one place: what pods use, what is left, and what is done when too little is.

Invariant: measuring disks walks directories, so it is done only when asked for or when the node is short.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from agents.kubelet.cgroups import PodCgroups
from agents.kubelet.eviction import Use
from agents.kubelet.eviction_manager import EvictionManager, Node
from agents.kubelet.image_collection import ImageCollector, Policy
from agents.kubelet.machine import Pressure, read_pressure
from agents.kubelet.pod_logs import PodLogs
from agents.kubelet.pods import spec
from agents.kubelet.pods.view import Eviction, PodView, views
from agents.kubelet.processes import systems
from agents.kubelet.runtime.interface import ContainerRuntime, State, Written
from agents.kubelet.sampling import Sample, Sampler, read_node_use
from agents.kubelet.stats import PodDisk
from agents.kubelet.thresholds import DEFAULT, Threshold, parse_thresholds, with_memory_of_pods
from agents.kubelet.usage import Space, disk_use, pod_usage, read_usage, space
from agents.kubelet.volumes.manager import VolumeManager
from agents.kubelet.volumes.payload import VolumeError
from api.errors import ApiError
from api.objects import Object, namespace_of, uid_of
from api.runtime import Runtime
from api.transport import TransportError


@dataclass(frozen=True, slots=True)
class ResourceSettings:
    """When the node is short of something, and how images are collected."""

    thresholds: tuple[Threshold, ...] = parse_thresholds(DEFAULT)
    transition: float = 300.0
    longest_grace: float = 0.0
    images: Policy = field(default_factory=Policy)


class NodeResources:
    """Measures one node and keeps it from running out. `pods()` are those that may be evicted by `evict`.

    `ending()` says whether one that was evicted still ends.
    """

    def __init__(
        self,
        clock: Runtime,
        runtime: ContainerRuntime,
        volumes: VolumeManager,
        cgroups: PodCgroups,
        logs: PodLogs,
        settings: ResourceSettings,
        image_directory: Path,
        pods: Callable[[], list[Object]],
        evict: Callable[[Object, Eviction], None],
        changed: Callable[[], None],
        ending: Callable[[], bool],
    ) -> None:
        self._clock, self._runtime, self._volumes, self._cgroups, self._logs = clock, runtime, volumes, cgroups, logs
        self._image_directory, self._runtime_name = image_directory, ""
        self._pods = pods
        self.sampler = Sampler(clock, self._sample)
        self.images = ImageCollector(clock, runtime, self._image_space, settings.images)
        node = Node(self.pressure, pods, self.use, self._reclaim, evict, ending)
        self.eviction = EvictionManager(
            clock, node, with_memory_of_pods(settings.thresholds), settings.transition, changed, settings.longest_grace
        )

    def pressure(self) -> Pressure:
        """What is left now."""
        found = read_pressure(self._volumes.root, self._image_directory)
        groups = self._cgroups.of_all_pods()
        of_pods = read_usage(groups, self._clock.time()) if groups else None
        if of_pods is None or not of_pods.memory_limit:
            return found
        left = max(0, of_pods.memory_limit - of_pods.working_set)
        return replace(found, pods_memory_available=left, pods_memory_total=of_pods.memory_limit)

    def disk(self, pod: Object, *, roots: bool = True) -> PodDisk:
        """The disk that a pod uses; the written roots are asked of the runtime."""
        directory = self._logs.directory(spec.identity(pod))
        names = [container["name"] for container in spec.all_containers(pod)]
        sources = {
            volume["name"]: volume["emptyDir"]
            for volume in pod["spec"].get("volumes") or []
            if volume.get("emptyDir") is not None
        }
        return PodDisk(
            logs={name: disk_use(directory / name) for name in names},
            roots=self._runtime.disk_use(uid_of(pod)) if roots else {},
            volumes={name: disk_use(self._volumes.path(pod, name)) for name in sources},
            spaces={name: found for name in sources if (found := self._space(pod, name)) is not None},
            in_memory=frozenset(name for name, source in sources.items() if source.get("medium")),
        )

    def _space(self, pod: Object, name: str) -> Space | None:
        """The file system that a volume lies on, None if it cannot be looked at."""
        with suppress(VolumeError, OSError):
            return space(self._volumes.path(pod, name))
        return None

    def claims(self, pod: Object) -> dict[str, tuple[str, Space]]:
        """By volume the claim behind it and the file system that it lies on; what cannot be looked at is left out."""
        found = {}
        for volume in pod["spec"].get("volumes") or []:
            claim = spec.claim_of(pod, volume)
            if claim:
                with suppress(VolumeError, ApiError, TransportError, OSError):
                    found[volume["name"]] = claim, space(self._volumes.path(pod, volume["name"]))
        return found

    def all_claims(self, pods: list[Object]) -> dict[tuple[str, str], Space]:
        """The file systems that pods' volumes lie on, by their claims' namespace and name."""
        found = ((namespace_of(pod), self.claims(pod)) for pod in pods)
        return {(namespace, claim): space for namespace, of_pod in found for claim, space in of_pod.values()}

    def use(self, pod: Object, images_apart: bool) -> Use:
        """What a pod uses, as eviction compares pods."""
        view = views(self._runtime.list(uid_of(pod))).get(uid_of(pod), PodView())
        running = {found.id: found.name for found in view.running()}
        measured = pod_usage(self._cgroups, uid_of(pod), list(running), self._clock.time())
        disk = self.disk(pod)
        roots = dict.fromkeys(disk.logs, 0)
        for found in view.containers:
            roots[found.name] = roots.get(found.name, 0) + disk.roots.get(found.id, Written()).bytes
        containers = measured.containers if measured is not None else {}
        return Use(
            memory={name: containers[key].working_set for key, name in running.items() if key in containers},
            processes=measured.pod.processes if measured is not None else 0,
            logs={name: found.bytes for name, found in disk.logs.items()},
            roots=roots,
            volumes={name: found.bytes for name, found in disk.volumes.items()},
            inodes=sum(found.inodes for found in [*disk.logs.values(), *disk.on_disk()]),
            root_inodes=sum(found.files or 0 for found in disk.roots.values()),
            in_memory=disk.in_memory,
            images_apart=images_apart,
        )

    def _sample(self) -> Sample:
        found = views(self._runtime.list())
        now = self._clock.time()
        measured = {
            uid: use
            for uid, view in found.items()
            if (use := pod_usage(self._cgroups, uid, [entry.id for entry in view.running()], now)) is not None
        }
        node = read_node_use(now)
        self._runtime_name = self._runtime_name or self._runtime.version().name
        return Sample(node, measured, systems(self._cgroups, self._runtime_name, node.booted, now))

    def _image_space(self) -> tuple[int, int]:
        pressure = self.pressure()
        return pressure.image_disk_available, pressure.image_disk_total

    def _reclaim(self) -> None:
        """Remove ended containers of pods that have ended, then all images that nobody uses."""
        ended = {uid_of(pod) for pod in self._pods() if spec.is_terminal(pod)}
        for uid, view in views(self._runtime.list()).items():
            for found in view.containers if uid in ended else ():
                if found.state is State.EXITED:
                    self._runtime.remove_container(found.id)
                    self._logs.discard(found)
        self.images.collect_all()
