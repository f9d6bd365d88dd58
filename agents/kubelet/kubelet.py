"""The kubelet of one node: watches its pods, keeps a queue of those to look at, and keeps the node known.

Anything that happens (a change in the API, a container that ended, a probe that turned, time) only puts a pod's
uid into the queue. `comparison` finds whatever no event told of.

Invariant: what belongs to no pod of this node is removed only once the API's list of pods is known.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from agents.kubelet import clock_skew, log_rotation, shutdown
from agents.kubelet.cgroups import PodCgroups
from agents.kubelet.comparison import Comparison
from agents.kubelet.heartbeat import Heartbeat, Report
from agents.kubelet.judge import Judge
from agents.kubelet.lookup import Lookup
from agents.kubelet.machine import read_machine
from agents.kubelet.node import Health, NodeSettings
from agents.kubelet.node_pods import NodePods, pod_uid
from agents.kubelet.pod_logs import PodLogs
from agents.kubelet.pods import hosts, spec
from agents.kubelet.pods.builder import BuilderSettings, PodBuilder
from agents.kubelet.pods.environment import Surroundings
from agents.kubelet.pods.images import ImageManager
from agents.kubelet.pods.performer import Performer
from agents.kubelet.pods.pulled import PulledImages, Verification
from agents.kubelet.pods.results import with_results
from agents.kubelet.pods.security import Seccomp
from agents.kubelet.pods.state import PodState
from agents.kubelet.pods.status import NodeFacts
from agents.kubelet.pods.stopper import Stopper
from agents.kubelet.pods.view import PodView, views
from agents.kubelet.pods.worker import Worker
from agents.kubelet.probes.actions import Actions
from agents.kubelet.probes.hooks import Hooks
from agents.kubelet.probes.prober import Prober
from agents.kubelet.resources import NodeResources, ResourceSettings
from agents.kubelet.runtime.interface import ContainerRuntime, ContainerRuntimeError, Version
from agents.kubelet.static_pods import MirrorPods, StaticPods
from agents.kubelet.tiers import Tiers
from agents.kubelet.volumes.certificates import PodCertificates
from agents.kubelet.volumes.manager import VolumeManager
from agents.kubelet.volumes.tokens import TokenManager
from agents.network import telling
from agents.network.interface import NetworkError, PodNetwork
from api.client import Client
from api.errors import ApiError
from api.events import EventRecorder
from api.informer import Informer
from api.objects import Object, uid_of
from api.runtime import Event, Runtime
from api.transport import TransportError
from api.workqueue import WorkQueue, work

log = logging.getLogger(__name__)

_WORKERS = 24
_RELIST = 10.0
_FILES = 2.0
_NETWORK = 2.0
_LOGS = 10.0
_IMAGES = 300.0
_HOUSEKEEPING = 30.0


@dataclass(frozen=True, slots=True)
class KubeletSettings:
    """What the operator says; `node_ip` "" takes the machine's own address."""

    node: NodeSettings
    root: Path
    node_ip: str = ""
    dns: hosts.DnsSettings = field(default_factory=hosts.DnsSettings)
    pids_limit: int = 4096
    seccomp_default: bool = False
    verification: Verification = Verification.PULLED
    cgroup_root: str = ""
    allowed_sysctls: tuple[str, ...] = ()
    manifests: Path | None = None
    logs: PodLogs = field(default_factory=PodLogs)
    resources: ResourceSettings = field(default_factory=ResourceSettings)
    lease_seconds: float = 10.0
    status_seconds: float = 300.0
    sync_seconds: float = 60.0
    housekeeping_seconds: float = 10.0


class Kubelet:
    """Everything on one node; `start` runs it in tasks."""

    def __init__(
        self,
        client: Client,
        clock: Runtime,
        runtime: ContainerRuntime,
        network: PodNetwork,
        settings: KubeletSettings,
        skew: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self._skew, self._said_of_clock = skew, False
        self.clock, self.runtime, self.network, self.settings = clock, runtime, network, settings
        name = settings.node.name
        self.recorder = EventRecorder(client, clock, "kubelet", name)
        pods = Informer(client, "pods", clock, field_selector=f"spec.nodeName={name}")
        nodes = Informer(client, "nodes", clock, field_selector=f"metadata.name={name}")
        self._informers = (pods, nodes, Informer(client, "services", clock))
        self.static = StaticPods(settings.manifests, name, clock)
        self.pods = NodePods(pods, self.static)
        self._mirrors = MirrorPods(client, clock)
        self.queue = WorkQueue(clock, longest_delay=30.0)
        self.machine = read_machine(settings.root, settings.node_ip)
        self.cgroups = PodCgroups(settings.cgroup_root)
        self.version: Version | None = None
        self._network_problem = "the node has no podCIDR yet; the controller manager assigns one"
        self.heartbeat = Heartbeat(
            client, clock, settings.node, self._report, status_seconds=settings.status_seconds, tell=self._tell_of_node
        )
        states: dict[str, PodState] = {}
        self.judge = Judge(
            self.pods,
            states,
            self.heartbeat,
            self.recorder,
            self.queue.add,
            lambda: self.resources.eviction.conditions,
            settings.allowed_sysctls,
        )
        self.worker = self._make_worker(client, states)
        self.comparison = Comparison(
            clock,
            runtime,
            network,
            self.pods,
            (self.volumes, self.cgroups, settings.logs),
            self.queue.add,
            clock.monotonic(),
        )
        self.resources = NodeResources(
            clock,
            runtime,
            self.volumes,
            self.cgroups,
            settings.logs,
            settings.resources,
            Path(self._version().image_directory),
            self.judge.evictable,
            self.judge.evict,
            lambda: self._report_later(),
            self.judge.is_evicting,
        )
        pods.add_handler(lambda old, new: self.queue.add(pod_uid(new or old or {})))
        nodes.add_handler(lambda old, new: self._node_changed(new))

    def start(self, stop: Event) -> None:
        """Register and run until `stop` is set and `close` called."""
        self.recorder.start()
        self.clock.spawn("node", self._repeat, stop, self._keep_registered, self.settings.lease_seconds)
        for informer in self._informers:
            informer.start(stop)
        for _ in range(_WORKERS):
            self.clock.spawn("pod-worker", work, self.queue, self.worker.look, stop, "pods")
        self.clock.spawn("lease", self._repeat, stop, self.heartbeat.renew_lease, self.settings.lease_seconds)
        self.clock.spawn("static-pods", self._repeat, stop, self._keep_static_pods, _FILES)
        self.clock.spawn("relist", self._repeat, stop, self.comparison.relist, _RELIST)
        self.clock.spawn("housekeeping", self._repeat, stop, self.comparison.find_leftovers, _HOUSEKEEPING)
        self.clock.spawn("clock", self._repeat, stop, self._check_clock, self.settings.lease_seconds)
        self.clock.spawn("network", self._repeat, stop, self._keep_network, _NETWORK)
        self.clock.spawn(
            "eviction", self._repeat, stop, self.resources.eviction.look, self.settings.housekeeping_seconds
        )
        self.clock.spawn("logs", self._repeat, stop, self._rotate_logs, _LOGS)
        self.clock.spawn("images", self._repeat, stop, self._collect_images, _IMAGES)
        self.clock.spawn("runtime-events", self._follow_events, stop)

    def shut_down(self, grace: shutdown.Grace) -> None:
        """End the node's pods because the machine goes down."""
        self.judge.shutting_down = True
        self._report_soon()
        chosen = shutdown.groups(self.pods.items(), grace)
        log.info("the machine goes down: %d pods are ended", sum(len(group.pods) for group in chosen))
        shutdown.end_pods(self.clock, chosen, self.judge.evict, self.judge.has_ended)

    def close(self) -> None:
        """Let the tasks end. Containers go on."""
        self.queue.stop()
        self.runtime.close()
        for informer in self._informers:
            informer.close()
        self.recorder.close()

    def address(self, pod: Object) -> str:
        """Where a pod answers: its own address, or the node's on the node's network."""
        if spec.is_host_network(pod):
            return self.machine.addresses[0]
        state = self.worker.states.get(uid_of(pod))
        return state.addresses[0] if state is not None and state.addresses else ""

    def view(self, uid: str) -> PodView:
        """What the runtime has of a pod now."""
        return views(self.runtime.list(uid)).get(uid, PodView())

    def _make_worker(self, client: Client, states: dict[str, PodState]) -> Worker:
        clock, runtime, settings = self.clock, self.runtime, self.settings
        sources, tokens = Lookup(client, clock), TokenManager(client, clock)
        volumes = VolumeManager(settings.root, clock, sources)
        certificates = PodCertificates(client, clock, self.recorder, lambda: self.heartbeat.node, volumes.read)
        actions = Actions(clock, runtime)
        hooks = Hooks(actions, self.recorder, self.address)
        stopper = Stopper(clock, runtime, hooks.pre_stop, self.queue.add)
        version, reserved = self._version(), settings.node.reserved
        tiers = Tiers(self.cgroups, self.pods.items, lambda: self.machine, reserved, version.systemd_cgroups)
        builder = PodBuilder(
            clock,
            BuilderSettings(
                settings.dns,
                Seccomp(settings.root / "seccomp", settings.seccomp_default),
                version.systemd_cgroups,
                version.recursive_read_only,
                settings.pids_limit,
                self.machine.memory,
                tuple(kind.size for kind in self.machine.huge_pages if kind.pages and self.cgroups.limits_huge_pages()),
            ),
            volumes,
            self.cgroups,
            settings.logs,
            sources,
            tokens,
            certificates,
            self._surroundings,
            tiers.keep,
            clock.lock(),
        )
        self.volumes = builder.volumes
        pulled = PulledImages(settings.root / "pulled-images.json", settings.verification, clock.lock())
        images = ImageManager(clock, runtime, self.recorder, sources, pulled)
        performer = Performer(clock, runtime, self.network, builder, images, stopper, hooks.post_start, self.recorder)
        self.prober = Prober(clock, actions, self.recorder, self.address, self.queue.add, stopper.is_stopping)

        def results(pod: Object, view: PodView) -> PodView:
            return with_results(pod, view, builder.termination_log, stopper.was_killed)

        return Worker(
            clock,
            client,
            self.pods,
            performer,
            self.prober,
            self.judge.admit,
            self._facts,
            results,
            states,
            clock.lock(),
            self.judge.admit_resize,
            settings.sync_seconds,
        )

    def _version(self) -> Version:
        """The runtime's version, asked once. Raises ContainerRuntimeError."""
        if self.version is None:
            self.version = self.runtime.version()
        return self.version

    def _facts(self) -> NodeFacts:
        return NodeFacts(self.machine.addresses, self._version().name)

    def _surroundings(self, addresses: tuple[str, ...]) -> Surroundings:
        allocatable = (self.heartbeat.node.get("status") or {}).get("allocatable") or {}
        services = self._informers[2].items()
        return Surroundings(addresses, self.machine.addresses, services, allocatable)

    def _report(self) -> Report:
        problems = ["node is shutting down"] if self.judge.shutting_down else []
        if self.comparison.problem:
            problems.append(f"container runtime is down: {self.comparison.problem}")
        if self._network_problem:
            problems.append(
                "container runtime network not ready: NetworkReady=false "
                f"reason:NetworkPluginNotReady message:{self._network_problem}"
            )
        try:
            images = self.runtime.list_images()
        except ContainerRuntimeError:
            images = []
        self.machine = read_machine(self.settings.root, self.settings.node_ip)
        health = Health(tuple(problems), self.resources.eviction.conditions)
        return Report(self.machine, self._version(), images, health)

    def _keep_registered(self) -> None:
        if not self.heartbeat.node:
            self._node_changed(self.heartbeat.register())
            self._tell_of_node("Normal", "Starting", "Starting kubelet.")
        self.heartbeat.report_status()

    def _node_changed(self, node: Object | None) -> None:
        if node is None:
            return
        self.heartbeat.observe(node)
        cidrs = tuple((node.get("spec") or {}).get("podCIDRs") or ())
        if not cidrs:
            return
        try:
            self.network.configure(cidrs)
        except NetworkError as error:
            self._set_network_problem(str(error))
            return
        self._set_network_problem("")

    def _set_network_problem(self, problem: str) -> None:
        if problem == self._network_problem:
            return
        self._network_problem = problem
        log.info("the pod network is %s", problem or "ready")
        self._report_later()

    def _report_later(self) -> None:
        self.clock.spawn("node-status", self._report_soon)

    def _check_clock(self) -> None:
        said = clock_skew.sentence(self._skew())
        if said and not self._said_of_clock and self.heartbeat.node:
            self._warn_of_node("ClockSkew", said)
        self._said_of_clock = bool(said)

    def _keep_network(self) -> None:
        found = self.network.repair()
        if found.done and self.heartbeat.node:
            self._warn_of_node(telling.REPAIRED, telling.repaired(found.done))
        if found.failed:
            raise NetworkError("; ".join(found.failed))

    def _warn_of_node(self, reason: str, said: str) -> None:
        log.warning(said)
        self._tell_of_node("Warning", reason, said)

    def _tell_of_node(self, kind: str, reason: str, said: str) -> None:
        node = {"apiVersion": "v1", "kind": "Node"} | self.heartbeat.node
        self.recorder.record(node, kind, reason, said)

    def _rotate_logs(self) -> None:
        stamp, by_itself = f"{int(self.clock.time())}", self._version().rotates_logs
        log_rotation.rotate(self.runtime, self.settings.logs, stamp, by_itself=by_itself)

    def _collect_images(self) -> None:
        self.resources.images.collect()

    def _report_soon(self) -> None:
        self._try(self.heartbeat.report_status)

    def _keep_static_pods(self) -> None:
        for uid in self.static.refresh():
            self.queue.add(uid)
        if self.pods.synced():
            self._mirrors.keep(self.static.items(), self.pods.mirrors(), self.heartbeat.node)

    def _follow_events(self, stop: Event) -> None:
        while not stop.is_set():
            self._try(self.comparison.follow_events)
            self._try(self.comparison.relist)
            stop.wait(1.0)

    def _repeat(self, stop: Event, function: Callable[[], None], seconds: float) -> None:
        while not stop.is_set():
            well = self._try(function)
            stop.wait(seconds if well else min(2.0, seconds))

    def _try(self, function: Callable[[], None]) -> bool:
        try:
            function()
        except (ApiError, TransportError, ContainerRuntimeError, NetworkError) as error:
            log.warning("%s: %s", function.__name__.strip("_").replace("_", " "), error)
            return False
        except Exception:
            log.exception("%s failed", function.__name__)
            return False
        return True
