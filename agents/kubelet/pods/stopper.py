"""Ends containers without holding up anyone: hook, stop signal, patience, SIGKILL.

Each ending runs in a task of its own; asking again for a container that is being stopped only brings its
deadline forward. A restarted kubelet simply begins again: signals may be repeated.

Invariant: at most one task ends a container, and it never ends one later than the last deadline asked for; but after
its hook and its turn a container has two seconds for its signal, whoever asks meanwhile.
Source: kubelet's kuberuntime killContainer and terminationOrdering.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from agents.kubelet.pods import spec
from agents.kubelet.runtime.interface import Container, ContainerRuntime, ContainerRuntimeError, NoSuchContainer, State
from api.objects import Object
from api.runtime import Event, Runtime

log = logging.getLogger(__name__)

PreStop = Callable[[Object, Container, float], None]

_AFTER_KILL = 30.0
_AFTER_SIGNAL = 2.0
_LOOK = 0.5


class Stopper:
    """`pre_stop(pod, container, seconds)` runs a container's hook, if it has one; `notify(uid)` tells of the end."""

    def __init__(
        self, clock: Runtime, runtime: ContainerRuntime, pre_stop: PreStop, notify: Callable[[str], None]
    ) -> None:
        self._clock = clock
        self._runtime = runtime
        self._pre_stop = pre_stop
        self._notify = notify
        self._deadlines: dict[str, float] = {}
        self._soonest: dict[str, float] = {}
        self._turns: dict[str, Event] = {}
        self._killed: set[str] = set()
        self._lock = clock.lock()

    def is_stopping(self, container_id: str) -> bool:
        """Whether a task is ending that container."""
        return container_id in self._deadlines

    def was_killed(self, container_id: str) -> bool:
        """Whether a container was ended by force here."""
        return container_id in self._killed

    def forget(self, container_id: str) -> None:
        """The container has been removed."""
        self._killed.discard(container_id)

    def stop(self, pod: Object | None, container: Container, grace: float, *, turn: bool = True) -> bool:
        """End the container within `grace` seconds; whether this began its end.

        If it is not its `turn` yet its hook runs, and its signal waits until it is, or until those seconds are over.
        """
        deadline = self._clock.monotonic() + grace
        with self._lock:
            known = self._deadlines.get(container.id)
            if known is None:
                self._deadlines[container.id], self._turns[container.id] = deadline, self._clock.event()
            else:
                self._deadlines[container.id] = max(min(known, deadline), self._soonest.get(container.id, 0.0))
            if turn:
                self._turns[container.id].set()
            if known is not None:
                return False
        self._clock.spawn(f"stop-{container.name}", self._end, pod, container)
        return True

    def _end(self, pod: Object | None, container: Container) -> None:
        try:
            if pod is not None and self._left(container.id) > 0:
                self._pre_stop(pod, container, self._left(container.id))
            if self._comes_to_turn(container.id):
                with self._lock:
                    soonest = self._soonest[container.id] = self._clock.monotonic() + _AFTER_SIGNAL
                    self._deadlines[container.id] = max(self._deadlines[container.id], soonest)
                wanted = spec.find_container(pod, container.name) if pod is not None else None
                self._runtime.signal_container(container.id, spec.stop_signal(wanted or {}))
                self._wait(container.id, lambda: self._left(container.id))
            if self._runs(container.id):
                self._killed.add(container.id)
                self._runtime.signal_container(container.id, "SIGKILL")
                limit = self._clock.monotonic() + _AFTER_KILL
                self._wait(container.id, lambda: limit - self._clock.monotonic())
        except ContainerRuntimeError as error:
            log.warning("container %s of pod %s was not stopped: %s", container.name, container.pod.name, error)
        finally:
            with self._lock:
                self._deadlines.pop(container.id, None)
                self._soonest.pop(container.id, None)
                self._turns.pop(container.id, None)
            self._notify(container.pod.uid)

    def _comes_to_turn(self, container_id: str) -> bool:
        """Wait for a container's turn or the end of its time; False if it ended before."""
        turn = self._turns[container_id]
        while not turn.is_set() and (left := self._left(container_id)) > 0:
            if not self._runs(container_id):
                return False
            turn.wait(min(_LOOK, left))
        return True

    def _left(self, container_id: str) -> float:
        return self._deadlines[container_id] - self._clock.monotonic()

    def _wait(self, container_id: str, left: Callable[[], float]) -> None:
        pause = 0.02
        while self._runs(container_id) and left() > 0:
            self._clock.sleep(max(0.001, min(pause, left())))
            pause = min(0.5, pause * 1.5)

    def _runs(self, container_id: str) -> bool:
        try:
            return self._runtime.inspect(container_id).state is State.RUNNING
        except NoSuchContainer:
            return False
