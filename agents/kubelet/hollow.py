"""Hollow nodes: many kubelets in one process, with the real decisions and no containers behind them.

They share one watch on pods and a few workers; a node costs its Node, its lease and some dictionaries. Capacity
tests and the simulator run them.

Invariant: a hollow node differs from a real one only in what is handed to the pod worker: the fake runtime, a
network without interfaces, and a builder without volumes.
Source: the idea is Kubernetes' kubemark.
"""

from __future__ import annotations

import ipaddress
import logging
from collections.abc import Callable
from dataclasses import dataclass

from agents.kubelet.admission import refusal
from agents.kubelet.fake_network import FakeNetwork
from agents.kubelet.heartbeat import Heartbeat, Report
from agents.kubelet.machine import Machine
from agents.kubelet.node import NodeSettings
from agents.kubelet.pods import spec
from agents.kubelet.pods.performer import ImagesOf, Performer
from agents.kubelet.pods.plan import Start
from agents.kubelet.pods.state import PodState
from agents.kubelet.pods.status import NodeFacts
from agents.kubelet.pods.stopper import Stopper
from agents.kubelet.pods.view import PodView, Reading
from agents.kubelet.pods.worker import Worker
from agents.kubelet.runtime.fake import FakeRuntime
from agents.kubelet.runtime.interface import Container, ContainerRuntime, ContainerSpec, Image, Sandbox, SandboxSpec
from api.client import Client
from api.informer import Informer
from api.objects import Object, name_of, uid_of
from api.runtime import Event, Runtime
from api.workqueue import WorkQueue, work

log = logging.getLogger(__name__)

_LONGEST_DELAY = 30.0
_ADDRESSES = ipaddress.ip_network("198.18.0.0/15")
_POD_ADDRESSES = ipaddress.ip_network("100.64.0.0/10")


@dataclass(frozen=True, slots=True)
class HollowSettings:
    """How many nodes, what they are called and how they look.

    Port 0 says that nobody answers at a node's address, so that nobody goes looking for it beyond this machine.
    """

    nodes: int
    prefix: str = "hollow"
    heartbeat_seconds: float = 10.0
    cpus: int = 8
    memory: int = 32 * 1024**3
    max_pods: int = 110
    workers: int = 16
    port: int = 0


class HollowBuilder:
    """Asks the runtime for the bare sandbox and container."""

    def prepare(self, pod: Object, addresses: tuple[str, ...] = ()) -> None:
        return None

    def sandbox(self, pod: Object, attempt: int, namespace_path: str) -> SandboxSpec:
        return SandboxSpec(spec.identity(pod), attempt, pod["metadata"]["name"], namespace_path)

    def warnings(self, pod: Object) -> list[tuple[str, str]]:
        return []

    def container(
        self,
        pod: Object,
        container: Object,
        start: Start,
        sandbox: Sandbox,
        images: ImagesOf,
        addresses: tuple[str, ...],
    ) -> ContainerSpec:
        return ContainerSpec(
            spec.identity(pod), start.name, start.attempt, sandbox.id, images.own.id, container.get("image", ""), ""
        )

    def resize(self, pod: Object) -> None:
        return None

    def memory_in_use(self, pod: Object, container_id: str = "") -> int:
        return 0

    def started(self, wanted: ContainerSpec, container_id: str) -> None:
        return None

    def removed(self, container: Container) -> None:
        return None

    def tear_down(self, uid: str) -> None:
        return None

    def release(self, uid: str) -> None:
        return None


class HollowImages:
    """Every image is present."""

    def ensure(self, pod: Object, container: Object, before_waiting: Callable[[], None]) -> Image:
        reference = container.get("image", "")
        return Image(f"sha256:{reference}", (reference,))


class HollowProbes:
    """Whatever runs is started, live and ready."""

    def readings(self, pod: Object, view: PodView) -> dict[str, Reading]:
        return {container.id: Reading() for container in view.running()}

    def forget(self, uid: str) -> None:
        return None


class Silence:
    """Hollow nodes write no events."""

    def record(self, obj: Object, kind: str, reason: str, message: str, field_path: str = "") -> None:
        return None


class HollowPods:
    """The shared watch, seen from one node."""

    def __init__(self, informer: Informer, node: str) -> None:
        self._informer = informer
        self._node = node

    def get(self, uid: str) -> Object | None:
        found = self._informer.by_index("uid", uid)
        if not found or found[0]["spec"].get("nodeName") != self._node:
            return None
        return found[0]

    def shown(self, pod: Object) -> Object | None:
        return pod

    def items(self) -> list[Object]:
        return self._informer.by_index("node", self._node)

    def finished(self, uid: str) -> None:
        """The watch tells when a pod is gone; no file holds one."""

    def synced(self) -> bool:
        return self._informer.synced()


@dataclass(frozen=True, slots=True)
class Ground:
    """What of a node outlives its kubelet: its containers and their addresses."""

    runtime: ContainerRuntime
    network: FakeNetwork


@dataclass(frozen=True, slots=True)
class HollowNode:
    """One node: its heartbeat, the worker that looks at its pods, and its network."""

    heartbeat: Heartbeat
    worker: Worker
    network: FakeNetwork


class HollowCluster:
    """N hollow nodes; `start` registers them and keeps them going until `stop`.

    `ground(name)` gives what a node of that name already has; without it every node begins empty.
    """

    def __init__(
        self, client: Client, clock: Runtime, settings: HollowSettings, ground: Callable[[str], Ground] | None = None
    ) -> None:
        self._client = client
        self._clock = clock
        self._settings = settings
        self._ground = ground
        self._pods = WorkQueue(clock, longest_delay=_LONGEST_DELAY)
        self._beats = WorkQueue(clock, longest_delay=_LONGEST_DELAY)
        self._owner: dict[str, str] = {}
        self._registered: set[str] = set()
        self._informer = Informer(client, "pods", clock, field_selector="spec.nodeName!=")
        self._informer.add_index("uid", lambda pod: [uid_of(pod)])
        self._informer.add_index("node", lambda pod: [pod["spec"]["nodeName"]])
        self._node_informer = Informer(client, "nodes", clock)
        names = [f"{settings.prefix}-{index}" for index in range(settings.nodes)]
        self.nodes = {name: self._node(name, index) for index, name in enumerate(names)}
        self._informer.add_handler(self._pod_changed)
        self._node_informer.add_handler(self._node_changed)

    def start(self, stop: Event) -> None:
        """Run in tasks until `stop` is set and `close` called."""
        self._informer.start(stop)
        self._node_informer.start(stop)
        for name, node in self.nodes.items():
            self._beats.add(name)
            self._adopt(name, node)
        for _ in range(self._settings.workers):
            self._clock.spawn("hollow-pods", work, self._pods, self._look, stop, "hollow pods")
            self._clock.spawn("hollow-beats", work, self._beats, self._beat, stop, "hollow nodes")

    def close(self) -> None:
        """Let the tasks end."""
        self._pods.stop()
        self._beats.stop()
        self._informer.close()
        self._node_informer.close()

    def registered(self) -> int:
        """How many nodes the API has by now."""
        return len(self._registered)

    def _adopt(self, name: str, node: HollowNode) -> None:
        """Look at what an earlier kubelet left: its pods may be gone from the API."""
        present = node.worker.performer.runtime.list()
        uids = [sandbox.pod.uid for sandbox in present.sandboxes] + [one.pod.uid for one in present.containers]
        for uid in uids:
            self._owner[uid] = name
            self._pods.add(uid)

    def _node(self, name: str, index: int) -> HollowNode:
        settings, clock = self._settings, self._clock
        address = str(_ADDRESSES[index % (_ADDRESSES.num_addresses - 2) + 1])
        machine = Machine(
            cpus=settings.cpus,
            memory=settings.memory,
            disk=100 * 1024**3,
            hostname=name,
            addresses=(address,),
            machine_id=format(index, "032x"),
            kernel="hollow",
            os_image="hollow",
        )
        ground = self._ground(name) if self._ground else Ground(FakeRuntime(clock), FakeNetwork(_pod_range(index)))
        runtime, network = ground.runtime, ground.network
        report = Report(machine, runtime.version())
        heartbeat = Heartbeat(
            self._client,
            clock,
            NodeSettings(name, settings.max_pods, port=settings.port, instance_type="hollow"),
            lambda: report,
        )
        stopper = Stopper(clock, runtime, _no_hook, self._pods.add)
        performer = Performer(
            clock, runtime, network, HollowBuilder(), HollowImages(), stopper, _no_post_start, Silence()
        )
        states: dict[str, PodState] = {}
        pods = HollowPods(self._informer, name)
        facts = NodeFacts((address,), "fake")

        def admit(pod: Object, others: list[Object]) -> tuple[str, str] | None:
            return refusal(pod, others, heartbeat.node) if heartbeat.node else None

        worker = Worker(
            clock, self._client, pods, performer, HollowProbes(), admit, lambda: facts, _as_it_is, states, clock.lock()
        )
        return HollowNode(heartbeat, worker, network)

    def _pod_changed(self, old: Object | None, new: Object | None) -> None:
        pod = new or old or {}
        node = pod["spec"].get("nodeName")
        if node in self.nodes:
            self._owner[uid_of(pod)] = node
            self._pods.add(uid_of(pod))

    def _node_changed(self, old: Object | None, new: Object | None) -> None:
        """What others wrote into a Node (its podCIDR, a Ready of Unknown) is answered at once, not minutes later."""
        node = self.nodes.get(name_of(new or old or {}))
        if node is not None and new is not None and node.heartbeat.observe(new):
            self._beats.add(name_of(new))

    def _look(self, uid: str) -> float | None:
        owner = self._owner.get(uid)
        if owner is None:
            return None
        again = self.nodes[owner].worker.look(uid)
        if again is None:
            self._owner.pop(uid, None)
        return again

    def _beat(self, name: str) -> float:
        node = self.nodes[name]
        if name not in self._registered:
            node.heartbeat.register()
            self._registered.add(name)
        node.heartbeat.report_status()
        node.network.configure(_pod_cidrs(node.heartbeat.node))
        node.heartbeat.renew_lease()
        return self._settings.heartbeat_seconds


def _pod_range(index: int) -> str:
    base = int(_POD_ADDRESSES.network_address) + (index % (1 << 14)) * 256
    return f"{ipaddress.ip_address(base)}/24"


def _pod_cidrs(node: Object) -> tuple[str, ...]:
    return tuple((node.get("spec") or {}).get("podCIDRs") or ())


def _no_hook(pod: Object, container: Container, seconds: float) -> None:
    return None


def _no_post_start(pod: Object, container: Object, container_id: str) -> str:
    return ""


def _as_it_is(pod: Object, view: PodView) -> PodView:
    return view
