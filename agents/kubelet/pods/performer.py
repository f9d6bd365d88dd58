"""Carries out a plan: the thin shell between the decision and the runtime, network and volumes.

Invariant: every step may be repeated; what a step could not do is remembered as a `Problem` with the reason
that users know, told as an event, and left to the next decision.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from agents.kubelet.pods import backoff, resizes, spec
from agents.kubelet.pods.bandwidth import bandwidth
from agents.kubelet.pods.limits import container_limits, pod_limits
from agents.kubelet.pods.plan import Plan, Resize, SandboxAction, Start
from agents.kubelet.pods.state import PodState
from agents.kubelet.pods.stopper import Stopper
from agents.kubelet.pods.view import RUN_ERROR, PodView, Problem
from agents.kubelet.runtime.interface import (
    UNSTARTED,
    Container,
    ContainerRuntime,
    ContainerRuntimeError,
    ContainerSpec,
    Image,
    RuntimeDown,
    Sandbox,
    SandboxSpec,
    State,
)
from agents.network.interface import HostPort, NetworkError, PodNetwork
from api.objects import Object
from api.runtime import Runtime

_FIRST_RETRY = 1.0
_LONGEST_RETRY = 60.0
_CHANGED = "Pod sandbox changed, it will be killed and re-created."


class Recorder(Protocol):
    """Where events go."""

    def record(self, obj: Object, kind: str, reason: str, message: str, field_path: str = "") -> None:
        """Tell users something about an object."""


class StartProblem(Exception):
    """A container cannot be started now: the waiting reason and the sentence that users see."""

    def __init__(self, reason: str, message: str, retry_after: float = 0.0) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.retry_after = retry_after


class NotReadyToStart(Exception):
    """The pod as a whole cannot start now (volumes, network): an event's reason and sentence."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


def _unstarted(wanted: ContainerSpec, container_id: str, why: str, now: float) -> Container:
    return Container(
        id=container_id,
        pod=wanted.pod,
        name=wanted.name,
        attempt=wanted.attempt,
        sandbox_id=wanted.sandbox_id,
        state=State.EXITED,
        image=wanted.image,
        image_id=wanted.image_id,
        image_digest=wanted.image_digest,
        created=now,
        finished=now,
        exit_code=UNSTARTED,
        message=why,
        log_path=wanted.log_path,
    )


@dataclass(frozen=True, slots=True)
class ImagesOf:
    """The images that a container needs: its own, and those that are its volumes, by the volume's name."""

    own: Image
    volumes: Mapping[str, Image] = field(default_factory=dict)


class SpecBuilder(Protocol):
    """Turns a pod's spec into what the runtime is asked for."""

    def prepare(self, pod: Object, addresses: tuple[str, ...] = ()) -> None:
        """Set the pod's volumes up, or bring them up to date. Raises NotReadyToStart."""

    def sandbox(self, pod: Object, attempt: int, namespace_path: str) -> SandboxSpec:
        """The sandbox to make."""

    def warnings(self, pod: Object) -> list[tuple[str, str]]:
        """Reason and sentence of what users should know of the sandbox to make."""

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

    def resize(self, pod: Object) -> None:
        """Bring the pod's own control group to the sum of what its containers may use."""

    def memory_in_use(self, pod: Object, container_id: str = "") -> int:
        """The bytes of memory that a container, or the pod as a whole, cannot do without now."""

    def started(self, wanted: ContainerSpec, container_id: str) -> None:
        """Do what is to be done for a container that runs now."""

    def removed(self, container: Container) -> None:
        """Take away what a container that was removed has left."""

    def tear_down(self, uid: str) -> None:
        """Take the volumes of a pod that has ended down; its logs stay. Raises NotReadyToStart if that has to wait."""

    def release(self, uid: str) -> None:
        """Take the pod's volumes and directories down. Raises NotReadyToStart if that has to wait."""


class Images(Protocol):
    """Gets images onto the node."""

    def ensure(self, pod: Object, container: Object, before_waiting: Callable[[], None]) -> Image:
        """The image of a container, pulled by its policy; `before_waiting` is called first if that takes long.

        Raises StartProblem.
        """


class PostStart(Protocol):
    """Runs the hook of a container that has just started."""

    def __call__(self, pod: Object, container: Object, container_id: str) -> str:
        """Run it, if there is one; why it failed, or ""."""


@dataclass(frozen=True, slots=True)
class Performer:
    """Performs plans on one node."""

    clock: Runtime
    runtime: ContainerRuntime
    network: PodNetwork
    builder: SpecBuilder
    images: Images
    stopper: Stopper
    post_start: PostStart
    recorder: Recorder

    def perform(
        self, pod: Object, plan: Plan, view: PodView, state: PodState, before_waiting: Callable[[], None]
    ) -> bool:
        """Do what the plan says but taking a gone pod's things away; whether anything was done."""
        for stop in plan.stops:
            began = self.stopper.stop(pod, stop.container, stop.grace, turn=stop.turn)
            if stop.again:
                state.restarting.add(stop.container.id)
            if began and stop.message:
                path = spec.field_path(pod, stop.container.name)
                self.recorder.record(pod, "Normal", "Killing", stop.message, path)
        if plan.counted is not None:
            name, finished = plan.counted.name, plan.counted.finished
            state.backoffs[name] = backoff.following(state.backoffs.get(name), finished, self.clock.time())
        for name in plan.waiting:
            self._tell_waiting(pod, name, view, state)
        for dead in plan.removals:
            self.runtime.remove_container(dead.id)
            self.builder.removed(dead)
            state.resized.pop(dead.id, None)
            state.restarting.discard(dead.id)
            if (known := state.unstarted.get(dead.name)) is not None and known.id == dead.id:
                del state.unstarted[dead.name]
        if plan.sandbox is SandboxAction.CREATE:
            return self._create_sandbox(pod, view, state)
        if plan.sandbox is SandboxAction.STOP and view.sandbox is not None:
            self.runtime.stop_sandbox(view.sandbox.id)
            self.network.detach(sandbox_name(view.sandbox.pod.uid))
            return True
        if plan.ended:
            self.builder.tear_down(pod["metadata"]["uid"])
        if plan.starts:
            self.builder.prepare(pod, state.addresses)
        started = [self._start(pod, start, view, state, before_waiting) for start in plan.starts]
        for resize in plan.resizes:
            self._resize(pod, resize, state)
        return any(started) or bool(plan.resizes)

    def remove(self, uid: str, view: PodView) -> None:
        """Take away all that a gone pod had on the node."""
        for container in view.containers:
            self.runtime.remove_container(container.id)
            self.stopper.forget(container.id)
        for sandbox in (view.sandbox, *view.old_sandboxes):
            if sandbox is not None:
                self.runtime.stop_sandbox(sandbox.id)
                self.runtime.remove_sandbox(sandbox.id)
        self.network.detach(sandbox_name(uid))
        self.builder.release(uid)

    def addresses(self, pod: Object) -> tuple[str, ...]:
        """The addresses of a pod whose sandbox runs; asked of the network, which repairs what is missing."""
        if spec.is_host_network(pod):
            return ()
        name = sandbox_name(pod["metadata"]["uid"])
        return self.network.attach(name, host_ports(pod), bandwidth(pod)).addresses

    def _create_sandbox(self, pod: Object, view: PodView, state: PodState) -> bool:
        attempt = 0
        for old in (view.sandbox, *view.old_sandboxes):
            if old is not None:
                attempt = max(attempt, old.attempt + 1)
                self.recorder.record(pod, "Normal", "SandboxChanged", _CHANGED)
                self.runtime.stop_sandbox(old.id)
                self.runtime.remove_sandbox(old.id)
        self.builder.prepare(pod)
        for reason, message in self.builder.warnings(pod):
            self.recorder.record(pod, "Warning", reason, message)
        try:
            if spec.is_host_network(pod):
                self.runtime.create_sandbox(self.builder.sandbox(pod, attempt, ""))
            elif spec.has_own_users(pod):
                self._create_with_users(pod, attempt, state)
            else:
                self.runtime.create_sandbox(self.builder.sandbox(pod, attempt, self._attach(pod, state)))
        except (NetworkError, ContainerRuntimeError) as error:
            message = f"Failed to create pod sandbox: {error}"
            raise NotReadyToStart("FailedCreatePodSandBox", message) from error
        return True

    def _attach(self, pod: Object, state: PodState) -> str:
        """Wire the pod's network; its namespace's path."""
        name = sandbox_name(pod["metadata"]["uid"])
        attachment = self.network.attach(name, host_ports(pod), bandwidth(pod))
        state.addresses = attachment.addresses
        return attachment.namespace_path

    def _create_with_users(self, pod: Object, attempt: int, state: PodState) -> None:
        """The network of a pod with users of its own is theirs: made with them, and wired afterwards."""
        name = sandbox_name(pod["metadata"]["uid"])
        self.network.detach(name)
        self.runtime.create_sandbox(self.builder.sandbox(pod, attempt, self.network.path(name)))
        self._attach(pod, state)

    def _resize(self, pod: Object, resize: Resize, state: PodState) -> None:
        name = resize.container.name
        wanted = container_limits(pod, spec.find_container(pod, name) or {}, 0)
        of_container = wanted.memory, self.builder.memory_in_use(pod, resize.container.id)
        of_pod = pod_limits(pod).memory, self.builder.memory_in_use(pod)
        problem = resizes.too_little(f'container "{name}"', *of_container) or resizes.too_little("pod", *of_pod)
        if problem:
            state.resize_error = problem
            raise NotReadyToStart("ResizeError", problem)
        self.builder.resize(pod)
        try:
            self.runtime.update_container(resize.container.id, wanted)
        except ContainerRuntimeError as error:
            state.resize_error = f"error resizing container {name}: {error}"
            raise NotReadyToStart("ResizeError", state.resize_error) from error
        state.resize_error = ""
        state.resized[resize.container.id] = resize.resources

    def _start(
        self, pod: Object, start: Start, view: PodView, state: PodState, before_waiting: Callable[[], None]
    ) -> bool:
        container = spec.find_container(pod, start.name)
        if container is None or view.sandbox is None:
            return False
        try:
            self._start_container(pod, container, start, view, state, before_waiting)
        except StartProblem as problem:
            self._remember(state, start.name, problem)
            return False
        state.problems.pop(start.name, None)
        state.retries.pop(start.name, None)
        return True

    def _start_container(
        self,
        pod: Object,
        container: Object,
        start: Start,
        view: PodView,
        state: PodState,
        before_waiting: Callable[[], None],
    ) -> None:
        name, sandbox = start.name, view.sandbox
        assert sandbox is not None
        path = spec.field_path(pod, name)
        latest = view.latest(name)
        if latest is not None and latest.state is State.CREATED:
            self.runtime.remove_container(latest.id)
        images = self._images(pod, container, before_waiting)
        try:
            wanted = self.builder.container(pod, container, start, sandbox, images, state.addresses)
        except StartProblem as problem:
            self.recorder.record(pod, "Warning", "Failed", f"Error: {problem.message}", path)
            raise
        container_id = self._create(pod, wanted, path)
        if latest is not None and latest.state is not State.CREATED:
            state.backoffs[name] = backoff.following(state.backoffs.get(name), latest.finished, self.clock.time())
        self._run(pod, wanted, container_id, state, path)
        self.builder.started(wanted, container_id)
        failure = self.post_start(pod, container, container_id)
        if failure:
            self.recorder.record(pod, "Warning", "FailedPostStartHook", failure, path)
            self._stop_after_failed_hook(pod, container_id, path)

    def _images(self, pod: Object, container: Object, before_waiting: Callable[[], None]) -> ImagesOf:
        own = self.images.ensure(pod, container, before_waiting)
        volumes = {}
        for mount, source in spec.image_mounts(pod, container):
            wanted = {"name": container["name"], "image": source.get("reference", "")}
            if source.get("pullPolicy"):
                wanted["imagePullPolicy"] = source["pullPolicy"]
            volumes[mount["name"]] = self.images.ensure(pod, wanted, before_waiting)
        return ImagesOf(own, volumes)

    def _create(self, pod: Object, wanted: ContainerSpec, path: str) -> str:
        try:
            container_id = self.runtime.create_container(wanted)
        except ContainerRuntimeError as error:
            self.recorder.record(pod, "Warning", "Failed", f"Error: {error}", path)
            raise StartProblem("CreateContainerError", str(error)) from error
        self.recorder.record(pod, "Normal", "Created", "Container created", path)
        return container_id

    def _run(self, pod: Object, wanted: ContainerSpec, container_id: str, state: PodState, path: str) -> None:
        """Start a container. One that cannot be counts as ended; runtimes differ in what they keep of it."""
        try:
            self.runtime.start_container(container_id)
        except RuntimeDown:
            # It may have started: the next look tells.
            raise
        except ContainerRuntimeError as error:
            self.recorder.record(pod, "Warning", "Failed", f"Error: {error}", path)
            self.runtime.remove_container(container_id)
            state.unstarted[wanted.name] = _unstarted(wanted, container_id, str(error), self.clock.time())
            raise StartProblem(RUN_ERROR, str(error)) from error
        self.recorder.record(pod, "Normal", "Started", "Container started", path)

    def _stop_after_failed_hook(self, pod: Object, container_id: str, path: str) -> None:
        found: Container = self.runtime.inspect(container_id)
        self.recorder.record(pod, "Normal", "Killing", "FailedPostStartHook", path)
        self.stopper.stop(pod, found, spec.grace_period(pod))

    def _remember(self, state: PodState, name: str, problem: StartProblem) -> None:
        pause = problem.retry_after
        if not pause:
            pause = min(_LONGEST_RETRY, state.retries.get(name, _FIRST_RETRY / 2) * 2)
            state.retries[name] = pause
        state.problems[name] = Problem(problem.reason, problem.message, self.clock.time() + pause)

    def _tell_waiting(self, pod: Object, name: str, view: PodView, state: PodState) -> None:
        latest = view.latest(name)
        if latest is None or state.told.get(name) == latest.attempt:
            return
        state.told[name] = latest.attempt
        message = f"Back-off restarting failed container {name} in pod {spec.long_name(pod)}"
        self.recorder.record(pod, "Warning", "BackOff", message, spec.field_path(pod, name))


def sandbox_name(uid: str) -> str:
    """The name of a pod's network namespace."""
    return f"pod-{uid}"


def host_ports(pod: Object) -> tuple[HostPort, ...]:
    """The node's ports that lead into the pod; of a pod on the node's own network none."""
    if spec.is_host_network(pod):
        return ()
    return tuple(
        HostPort(port["hostPort"], port["containerPort"], port.get("protocol") or "TCP", port.get("hostIP") or "")
        for container in spec.all_containers(pod)
        for port in container.get("ports") or []
        if port.get("hostPort")
    )
