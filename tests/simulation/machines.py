"""The nodes' containers: they outlive their kubelet, as real ones do, and end only with the machine's power.

A container's image says how it behaves: `ends-5` exits with 0 after five seconds, `fails-5` with 1; any other runs
for ever.

Invariant: what runs on a node is known here whatever the API says of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from simulation import rules
from simulation.history import History

from agents.kubelet.runtime.fake import FakeRuntime
from agents.kubelet.runtime.interface import ContainerSpec, PodIdentity, State
from api.objects import controller_of, is_deleting, uid_of

if TYPE_CHECKING:
    from simulation.world import World


def behaviour(spec: ContainerSpec) -> tuple[float, int] | None:
    """Seconds until a container ends and its exit status, by its image; None if it runs for ever."""
    what, _, seconds = spec.image.partition("-")
    return {"ends": (float(seconds), 0), "fails": (float(seconds), 1)}.get(what) if seconds else None


class Machine(FakeRuntime):
    """One node's containers."""

    def __init__(self, machines: Machines, world: World, name: str) -> None:
        super().__init__(world.runtime, behaviour)
        self.name = name
        self.running: dict[str, PodIdentity] = {}
        self._machines = machines

    def start_container(self, container_id: str) -> None:
        super().start_container(container_id)
        container = self.inspect(container_id)
        if container.state is State.RUNNING:
            self.running[container_id] = container.pod
            self._machines.started(self, container.pod)

    def signal_container(self, container_id: str, signal: str = "") -> None:
        super().signal_container(container_id, signal)
        self.running.pop(container_id, None)

    def remove_container(self, container_id: str) -> None:
        super().remove_container(container_id)
        self.running.pop(container_id, None)

    def power_cut(self) -> None:
        """Everything that ran has ended; what is on the disk stays."""
        for container in self.list().containers:
            self.signal_container(container.id, "SIGKILL")
        for sandbox in self.list().sandboxes:
            self.stop_sandbox(sandbox.id)


class Machines:
    """All nodes' containers."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._by_name: dict[str, Machine] = {}

    def of(self, node: str) -> Machine:
        """The machine of a node; the same one however often its kubelet starts."""
        if node not in self._by_name:
            self._by_name[node] = Machine(self, self._world, node)
        return self._by_name[node]

    def started(self, machine: Machine, pod: PodIdentity) -> None:
        """A container started: no other pod of the same name may run anywhere if a StatefulSet made it."""
        present = self._world.checks.history.get("pods", f"{pod.namespace}/{pod.name}")
        if present is None or (controller_of(present) or {}).get("kind") != "StatefulSet":
            return
        elsewhere = [
            f"{pod.namespace}/{pod.name} runs on {other.name} ({one.uid}) and on {machine.name} ({pod.uid})"
            for other in self._by_name.values()
            for one in other.running.values()
            if (one.namespace, one.name) == (pod.namespace, pod.name) and one.uid != pod.uid
        ]
        self._world.checks.hold(rules.ONE_PER_ORDINAL, elsewhere)

    def differences(self, history: History) -> Iterator[str]:
        """At rest: what runs although it should not, and what should run and does not."""
        bound = {
            uid_of(pod): pod["spec"].get("nodeName") or ""
            for pod in history.objects("pods")
            if rules.phase(pod) == "Running" and not is_deleting(pod)
        }
        for machine in self._by_name.values():
            found = {one.pod.uid for one in machine.list().containers if one.state is State.RUNNING}
            wanted = {uid for uid, node in bound.items() if node == machine.name}
            for uid in sorted(found - wanted):
                yield f"a container of pod {uid} runs on {machine.name} and should not"
            for uid in sorted(wanted - found):
                yield f"pod {uid} should run on {machine.name} and does not"
