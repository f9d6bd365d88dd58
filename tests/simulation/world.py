"""The simulated cluster: the real components, each in a virtual process, over a simulated network.

A scenario makes a `World`, lets it run, breaks things, and asks for rest; `checks` watch every committed write.

Invariant: no component is changed for the simulator; what differs is only what is handed in.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import cache
from typing import Any

from prometheus_client import CollectorRegistry
from simulation import rules
from simulation.checks import Checks
from simulation.faults import Plan
from simulation.machines import Machines
from simulation.network import Network
from simulation.store_link import StoreHost, StoreLink
from simulation.virtual_runtime import EPOCH, Process, VirtualRuntime
from simulation.witness import Witness

from agents.kubelet.fake_network import FakeNetwork
from agents.kubelet.hollow import Ground, HollowCluster, HollowSettings
from api import pki
from api.client import Client
from api.component import Term
from api.errors import ApiError
from api.leader import LeaderElector
from api.objects import Object
from api.transport import TransportError
from api.wsgi import PEER_CERTIFICATE
from control.apiserver.application import application, make_server
from control.apiserver.authentication.certificates import CertificateMethod
from control.apiserver.bootstrap import Bootstrap
from control.apiserver.config import Config
from control.controllers.context import Options
from control.controllers.manager import manager
from control.kvstore.engines.memory import open_memory
from control.scheduler.metrics import Metrics
from control.scheduler.profiles import default_profile
from control.scheduler.scheduler import Scheduler

log = logging.getLogger(__name__)


@cache
def certificate(user: str, *groups: str) -> bytes:
    """A client certificate (DER) for a user; made once, it is the same in every world."""
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding

    pair = pki.issue(_authority(), pki.Subject(user, groups), EPOCH, seconds=10 * 365 * 86400)
    return x509.load_pem_x509_certificate(pair.certificate).public_bytes(Encoding.DER)


@cache
def _authority() -> pki.Pair:
    return pki.new_authority("simulation", EPOCH)


class World:
    """One cluster in virtual time. `start()` brings everything up; `run` lets time pass."""

    def __init__(
        self,
        seed: int,
        *,
        nodes: int = 3,
        servers: int = 1,
        standby: bool = False,
        grace_seconds: float = 40.0,
        seconds_to_converge: float = 300.0,
    ) -> None:
        self.seed = seed
        self.seconds_to_converge = seconds_to_converge
        self.runtime = VirtualRuntime(seed)
        self.network = Network(self.runtime)
        self.store = StoreHost(self.runtime, open_memory(self.runtime))
        self.checks = Checks(self.runtime, self.store.store)
        self.network.on_acknowledged = self.checks.acknowledged
        self.machines = Machines(self)
        self.witness = Witness(self)
        self.processes: dict[str, Process] = {}
        self.node_names = [f"node{index}-0" for index in range(nodes)]
        self.timeline: list[str] = []
        self._servers = [f"apiserver-{number}" for number in range(servers)]
        self.faults_end = 0.0
        self._starters: dict[str, Callable[[Process], None]] = {}
        self._standby = standby
        self._options = Options(node_monitor_grace_period=grace_seconds, authority_certificate=b"simulated")

    # -- what a scenario says

    def start(self) -> World:
        """Bring the control plane and the nodes up and wait until every node is Ready."""
        for name in self._servers:
            self.add(name, self._apiserver(name))
        for number in range(2 if self._standby else 1):
            self.add(f"scheduler-{number}", self._scheduler(f"scheduler-{number}"))
            self.add(f"controllers-{number}", self._controllers(f"controllers-{number}"))
        self.add("witness", self.witness.start)
        for index in range(len(self.node_names)):
            self.add(f"node{index}", self._node(index))
        self.until("every node is Ready", self._nodes_ready, seconds=120)
        return self

    def client(self, name: str = "user", user: str = "kubernetes-admin", *groups: str) -> Client:
        """A client of the API in a process of its own."""
        process = self.processes.setdefault(name, Process(name))
        return self._client(process, user, *(groups or ("system:masters",)))

    def do(self, what: str, action: Callable[[], Any], *, seconds: float = 300.0) -> Any:
        """Perform an action of the user in a task, trying again on failures, as a patient user does."""
        result: list[Any] = []

        def act() -> None:
            while not result:
                try:
                    result.append(action())
                except (ApiError, TransportError) as error:
                    self.say(f"{what} failed, again: {error}")
                    self.runtime.sleep(1.0)

        self.say(what)
        self.runtime.spawn_in(self.processes.setdefault("user", Process("user")), what, act)
        self.until(f"done: {what}", lambda: bool(result), seconds=seconds)
        return result[0]

    def run(self, seconds: float) -> None:
        """Let time pass."""
        self.runtime.run(seconds=seconds)
        self.checks.raise_if_broken(self)

    def until(self, what: str, condition: Callable[[], bool], *, seconds: float = 0.0) -> None:
        """Let time pass until the condition holds; a violation if it does not within virtual `seconds`.

        Without `seconds` it must hold within the scenario's time to converge, counted from the end of all faults.
        """
        seconds = seconds or max(0.0, self.faults_end - self.runtime.now) + self.seconds_to_converge
        limit = self.runtime.now + seconds
        while not condition():
            if self.runtime.now >= limit:
                self.checks.violated(rules.CONVERGENCE, f"{what}: not within {seconds:.0f} s")
                break
            self.runtime.run(condition, seconds=min(0.5, limit - self.runtime.now))
        self.checks.raise_if_broken(self)

    def expect(self, plan: Plan) -> None:
        """Know when the last fault of a plan that begins now will be over."""
        self.faults_end = self.runtime.now + max((fault.at + fault.lasts for fault in plan), default=0.0) + 0.1

    def until_faults_end(self) -> None:
        """Let time pass until the last fault is over."""
        self.run(max(0.0, self.faults_end - self.runtime.now))

    def close(self) -> None:
        """End every process, so that a finished world holds nothing."""
        for process in [*self.processes.values(), self.runtime.root]:
            self.runtime.kill(process)

    def say(self, text: str) -> None:
        """Put a line into the timeline."""
        self.timeline.append(f"{self.runtime.now:10.3f} {text}")

    def crash(self, name: str) -> None:
        """Kill a process as SIGKILL would."""
        if name == "kvstore":
            self.store.crash()
            return
        self.runtime.kill(self.processes[name])

    def restart(self, name: str) -> None:
        """Start a crashed process again."""
        if name == "kvstore":
            self.store.restart()
            return
        if not self.processes[name].alive:
            self.add(name, self._starters[name])

    def cut_off(self, name: str) -> None:
        """Nothing reaches the process, and it reaches nobody."""
        self.network.cut_off.add(name)

    def reconnect(self, name: str) -> None:
        """End of the partition."""
        self.network.cut_off.discard(name)

    def add(self, name: str, starter: Callable[[Process], None], skew: float = 0.0) -> None:
        """Start a process under a name; `restart` uses the same starter."""
        process = Process(name, skew)
        self.processes[name] = process
        self._starters[name] = starter
        self.runtime.spawn_in(process, "main", starter, process)

    # -- how components start

    def _client(self, process: Process, user: str, *groups: str) -> Client:
        environ = {PEER_CERTIFICATE: certificate(user, *groups)}
        return Client(self.network.transport(process, self._servers, environ), user_agent=process.name)

    def _apiserver(self, name: str) -> Callable[[Process], None]:
        def starter(process: Process) -> None:
            stop = self.runtime.event()
            server = make_server(
                StoreLink(self.store, self.network, process),
                self.runtime,
                Config(advertise_address="192.0.2.1"),
                authentication=[CertificateMethod()],
            )
            server.cache.start(stop)
            server.cache.wait_synced()
            self.network.serve(name, process, application(server, {}))
            Bootstrap(server).start(stop)
            stop.wait()

        return starter

    def _scheduler(self, name: str) -> Callable[[Process], None]:
        def make(client: Client) -> Term:
            profile = default_profile()
            return Scheduler(client, self.runtime, {profile.name: profile}, Metrics(CollectorRegistry()))

        return self._component(name, "system:kube-scheduler", "kube-scheduler", make)

    def _controllers(self, name: str) -> Callable[[Process], None]:
        def make(client: Client) -> Term:
            return manager(client, self.runtime, self._options)

        return self._component(name, "system:kube-controller-manager", "kube-controller-manager", make)

    def _component(self, name: str, user: str, lease: str, make: Callable[[Client], Term]) -> Callable[[Process], None]:
        def starter(process: Process) -> None:
            client = self._client(process, user)
            identity = f"{name}-{self.runtime.uuid()}"
            self.network.on_write[name] = lambda: self.checks.wrote(name, identity, lease)
            elector = LeaderElector(client, self.runtime, name=lease, identity=identity)
            elector.run(self.runtime.event(), lambda term, lost: make(term).run(lost))

        return starter

    def _node(self, index: int) -> Callable[[Process], None]:
        name = f"node{index}"
        network = FakeNetwork(f"100.64.{index}.0/24")

        def starter(process: Process) -> None:
            client = self._client(process, f"system:node:{name}-0", "system:nodes", "system:masters")
            settings = HollowSettings(nodes=1, prefix=name, cpus=4, workers=2)
            stop = self.runtime.event()
            cluster = HollowCluster(
                client, self.runtime, settings, lambda node: Ground(self.machines.of(node), network)
            )
            cluster.start(stop)
            stop.wait()

        return starter

    def _nodes_ready(self) -> bool:
        nodes = self.checks.objects("nodes")
        return len(nodes) == len(self.node_names) and all(map(_is_schedulable, nodes))


def _is_schedulable(node: Object) -> bool:
    conditions = {entry["type"]: entry["status"] for entry in node.get("status", {}).get("conditions", [])}
    return conditions.get("Ready") == "True" and not node["spec"].get("taints")
