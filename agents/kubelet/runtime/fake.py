"""A runtime without processes: for hollow nodes, the simulator and unit tests.

Containers run at once and for ever, or as a script says: `behaviour(spec)` gives the seconds a container runs
and its exit status. Time is read from the Runtime handed in, so virtual time works.

Invariant: the same calls in the same order give the same answers; nothing runs in the background.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator

from agents.kubelet.runtime.interface import (
    CONTAINER_HASH,
    CONTAINER_RESOURCES,
    Container,
    ContainerRuntimeError,
    ContainerSpec,
    Credentials,
    Image,
    Inventory,
    Limits,
    NoSuchContainer,
    RuntimeEvent,
    Sandbox,
    SandboxSpec,
    Session,
    State,
    Version,
    Written,
)
from api.runtime import Runtime

Behaviour = Callable[[ContainerSpec], tuple[float, int] | None]

_SIGNALLED = {"": 143, "SIGTERM": 143, "SIGKILL": 137}


def runs_for_ever(spec: ContainerSpec) -> tuple[float, int] | None:
    """The behaviour of a container that never ends by itself."""
    return None


class FakeRuntime:
    """Keeps sandboxes and containers in dictionaries."""

    def __init__(self, runtime: Runtime, behaviour: Behaviour = runs_for_ever) -> None:
        self._runtime = runtime
        self._behaviour = behaviour
        self._sandboxes: dict[str, Sandbox] = {}
        self._containers: dict[str, Container] = {}
        self._specs: dict[str, ContainerSpec] = {}
        self._by_pod: dict[str, set[str]] = {}
        self._closed = runtime.event()

    def version(self) -> Version:
        return Version("fake", "1.0.0")

    def list_images(self) -> list[Image]:
        return []

    def image(self, reference: str) -> Image | None:
        return Image(f"sha256:{reference}", (reference,))

    def pull_image(self, reference: str, credentials: Credentials | None = None) -> Image:
        return Image(f"sha256:{reference}", (reference,))

    def remove_image(self, image_id: str) -> None:
        return None

    def create_sandbox(self, spec: SandboxSpec) -> str:
        sandbox_id = self._new_id()
        now = self._runtime.time()
        self._sandboxes[sandbox_id] = Sandbox(sandbox_id, spec.pod, spec.attempt, State.RUNNING, now, dict(spec.labels))
        self._by_pod.setdefault(spec.pod.uid, set()).add(sandbox_id)
        return sandbox_id

    def stop_sandbox(self, sandbox_id: str) -> None:
        sandbox = self._sandboxes.get(sandbox_id)
        if sandbox is not None:
            self._sandboxes[sandbox_id] = dataclasses.replace(sandbox, state=State.EXITED)

    def remove_sandbox(self, sandbox_id: str) -> None:
        sandbox = self._sandboxes.pop(sandbox_id, None)
        if sandbox is not None:
            self._forget(sandbox.pod.uid, sandbox_id)

    def create_container(self, spec: ContainerSpec) -> str:
        container_id = self._new_id()
        self._specs[container_id] = spec
        self._containers[container_id] = Container(
            id=container_id,
            pod=spec.pod,
            name=spec.name,
            attempt=spec.attempt,
            sandbox_id=spec.sandbox_id,
            state=State.CREATED,
            image=spec.image,
            image_id=spec.image_id,
            created=self._runtime.time(),
            log_path=spec.log_path,
            spec_hash=spec.labels.get(CONTAINER_HASH, ""),
            resources=spec.labels.get(CONTAINER_RESOURCES, ""),
        )
        self._by_pod.setdefault(spec.pod.uid, set()).add(container_id)
        return container_id

    def start_container(self, container_id: str) -> None:
        container = self.inspect(container_id)
        if container.state is State.CREATED:
            self._containers[container_id] = dataclasses.replace(
                container, state=State.RUNNING, started=self._runtime.time()
            )

    def signal_container(self, container_id: str, signal: str = "") -> None:
        container = self._now(container_id)
        if container is not None and container.state is State.RUNNING:
            code = _SIGNALLED.get(signal, 143)
            self._containers[container_id] = dataclasses.replace(
                container, state=State.EXITED, finished=self._runtime.time(), exit_code=code
            )

    def update_container(self, container_id: str, limits: Limits) -> None:
        self.inspect(container_id)
        self._specs[container_id] = dataclasses.replace(self._specs[container_id], limits=limits)

    def reopen_log(self, container_id: str) -> None:
        return None

    def remove_container(self, container_id: str) -> None:
        container = self._containers.pop(container_id, None)
        self._specs.pop(container_id, None)
        if container is not None:
            self._forget(container.pod.uid, container_id)

    def inspect(self, container_id: str) -> Container:
        container = self._now(container_id)
        if container is None:
            raise NoSuchContainer(f"there is no container {container_id}")
        return container

    def list(self, pod_uid: str = "") -> Inventory:
        if pod_uid:
            ids = self._by_pod.get(pod_uid, set())
            containers = [self._now(key) for key in ids if key in self._containers]
            sandboxes = [self._sandboxes[key] for key in ids if key in self._sandboxes]
        else:
            containers = [self._now(key) for key in list(self._containers)]
            sandboxes = list(self._sandboxes.values())
        return Inventory(tuple(sandboxes), tuple(found for found in containers if found is not None))

    def exec(self, container_id: str, command: tuple[str, ...], *, terminal: bool, stdin: bool) -> Session:
        raise ContainerRuntimeError("the fake runtime has no processes to execute in")

    def attach(self, container_id: str, *, terminal: bool, stdin: bool) -> Session:
        raise ContainerRuntimeError("the fake runtime has no processes to attach to")

    def disk_use(self, pod_uid: str) -> dict[str, Written]:
        return {}

    def events(self) -> Iterator[RuntimeEvent]:
        self._closed.wait()
        return iter(())

    def close(self) -> None:
        self._closed.set()

    def _now(self, container_id: str) -> Container | None:
        """The container, ended if its scripted time is over."""
        container = self._containers.get(container_id)
        if container is None or container.state is not State.RUNNING:
            return container
        script = self._behaviour(self._specs[container_id])
        if script is None or self._runtime.time() < container.started + script[0]:
            return container
        ended = dataclasses.replace(
            container, state=State.EXITED, finished=container.started + script[0], exit_code=script[1]
        )
        self._containers[container_id] = ended
        return ended

    def _forget(self, pod_uid: str, key: str) -> None:
        keys = self._by_pod.get(pod_uid)
        if keys is not None:
            keys.discard(key)
            if not keys:
                del self._by_pod[pod_uid]

    def _new_id(self) -> str:
        return format(self._runtime.random().getrandbits(256), "064x")
