"""Runs the probes of running containers and keeps what they say.

Each probe of each container is a task; `readings` starts those of containers seen for the first time and ends
those of containers that run no more. A changed result asks for a look at the pod.

Invariant: liveness and readiness are asked only once the startup probe, if any, has succeeded; of a pod that is
deleted, and of a container that is being ended for whatever reason, only readiness is asked. A question that could not
be put changes nothing: that the runtime is away for a while ends no container.
Source: kubelet's prober.Manager.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field

from agents.kubelet.pods import spec
from agents.kubelet.pods.environment import expand
from agents.kubelet.pods.performer import Recorder
from agents.kubelet.pods.view import PodView, Reading
from agents.kubelet.probes.actions import Actions
from agents.kubelet.probes.target import Target
from agents.kubelet.probes.thresholds import Kind, Tally, Timing, advance, initial, timing
from agents.kubelet.runtime.interface import Container
from api.objects import Object, is_deleting, name_of, namespace_of, uid_of
from api.runtime import Event, Runtime

log = logging.getLogger(__name__)

_FIELDS = {Kind.STARTUP: "startupProbe", Kind.LIVENESS: "livenessProbe", Kind.READINESS: "readinessProbe"}


@dataclass(slots=True)
class _Probed:
    """One running container: its probes and what they say."""

    container: Container
    spec: Object
    stop: Event
    ending: Event
    tallies: dict[Kind, Tally] = field(default_factory=dict)

    @property
    def started(self) -> bool:
        tally = self.tallies.get(Kind.STARTUP)
        return tally is None or tally.result

    def reading(self) -> Reading:
        startup, live = self.tallies.get(Kind.STARTUP), self.tallies.get(Kind.LIVENESS)
        ready = self.tallies.get(Kind.READINESS)
        failed = ""
        if startup is not None and not startup.result and startup.last is False and self._exhausted(startup):
            failed = Kind.STARTUP.value
        elif live is not None and not live.result:
            failed = Kind.LIVENESS.value
        grace = (self.spec.get(f"{failed}Probe") or {}).get("terminationGracePeriodSeconds") if failed else None
        return Reading(
            started=self.started,
            ready=ready is None or ready.result,
            live=not failed,
            failed_probe=failed,
            grace=None if grace is None else float(grace),
        )

    def _exhausted(self, tally: Tally) -> bool:
        return tally.count >= timing(self.spec["startupProbe"]).failures


class Prober:
    """The probes of one node. `address(pod)` is where a pod answers; `notify(uid)` asks for a look.

    `is_stopping(container_id)` says whether a container is being ended.
    """

    def __init__(
        self,
        clock: Runtime,
        actions: Actions,
        recorder: Recorder,
        address: Callable[[Object], str],
        notify: Callable[[str], None],
        is_stopping: Callable[[str], bool] = lambda container_id: False,
    ) -> None:
        self._clock = clock
        self._actions = actions
        self._recorder = recorder
        self._address = address
        self._notify = notify
        self._is_stopping = is_stopping
        self._probed: dict[str, dict[str, _Probed]] = {}
        self.counts: dict[tuple[str, str, str, str, str, str], int] = {}
        self._lock = clock.lock()

    def readings(self, pod: Object, view: PodView) -> dict[str, Reading]:
        """What the probes say, by container id."""
        running = {found.id: found for found in view.running()}
        with self._lock:
            known = self._probed.setdefault(uid_of(pod), {})
            for container_id in [key for key in known if key not in running]:
                known.pop(container_id).stop.set()
            for container_id, container in running.items():
                if container_id not in known:
                    self._begin(pod, container, known)
            if is_deleting(pod):
                for probed in known.values():
                    probed.ending.set()
            return {container_id: probed.reading() for container_id, probed in known.items()}

    def forget(self, uid: str) -> None:
        """Stop probing a pod."""
        with self._lock:
            for probed in self._probed.pop(uid, {}).values():
                probed.stop.set()
            for key in [key for key in self.counts if key[2] == uid]:
                del self.counts[key]

    def _begin(self, pod: Object, container: Container, known: dict[str, _Probed]) -> None:
        wanted = spec.find_container(pod, container.name)
        if wanted is None:
            return
        probed = known[container.id] = _Probed(container, wanted, self._clock.event(), self._clock.event())
        for kind, field_name in _FIELDS.items():
            if wanted.get(field_name):
                probed.tallies[kind] = initial(kind, _told(pod, container))
        for kind in probed.tallies:
            self._clock.spawn(f"{kind}-{container.name}", self._run, pod, probed, kind)

    def _run(self, pod: Object, probed: _Probed, kind: Kind) -> None:
        probe = probed.spec[_FIELDS[kind]]
        numbers = timing(probe)
        wait = min(numbers.delay, probed.container.started + numbers.delay - self._clock.time())
        while not probed.stop.wait(max(0.0, wait)):
            wait = numbers.period
            if not self._matters(probed, kind):
                return
            if kind is not Kind.STARTUP and not probed.started:
                wait = min(1.0, numbers.period)
                continue
            if kind is Kind.STARTUP and probed.started:
                return
            self._ask(pod, probed, kind, probe, numbers)
            if probed.reading().failed_probe == kind.value:
                # It is ended now; its successor is probed for itself.
                return

    def _matters(self, probed: _Probed, kind: Kind) -> bool:
        """Whether what a probe says is of any use: of what is being ended only whether it is ready."""
        return kind is Kind.READINESS or not (probed.ending.is_set() or self._is_stopping(probed.container.id))

    def _ask(self, pod: Object, probed: _Probed, kind: Kind, probe: Object, numbers: Timing) -> None:
        target = Target(probed.container.id, self._address(pod), probed.spec)
        answer = self._actions.perform(_expanded(probe, probed.spec), target, numbers.timeout)
        if probed.stop.is_set() or not self._matters(probed, kind):
            return
        before = probed.reading()
        result = "unknown" if answer.unknown else "successful" if answer.ok else "failed"
        key = (namespace_of(pod), name_of(pod), uid_of(pod), probed.container.name, kind.value, result)
        self.counts[key] = self.counts.get(key, 0) + 1
        if not answer.unknown:
            probed.tallies[kind] = advance(probed.tallies[kind], answer.ok, numbers)
        if not answer.ok or answer.warning:
            reason = "ProbeWarning" if answer.ok else "Unhealthy"
            word = "warning" if answer.ok else "errored and resulted in unknown state" if answer.unknown else "failed"
            message = f"{kind.value.capitalize()} probe {word}: {answer.text}"
            path = spec.field_path(pod, probed.container.name)
            self._recorder.record(pod, "Warning", reason, message, path)
        if probed.reading() != before:
            log.info("pod %s: %s probe of %s says %s", uid_of(pod), kind.value, probed.container.name, answer.ok)
            self._notify(uid_of(pod))


def _expanded(probe: Object, container: Object) -> Object:
    """The probe with the container's literal variables in its command; others count as empty there.

    Source: kubelet/container ExpandContainerCommandOnlyStatic.
    """
    words = (probe.get("exec") or {}).get("command")
    if not words:
        return probe
    known = {entry["name"]: entry.get("value") or "" for entry in container.get("env") or []}
    return probe | {"exec": {"command": [expand(word, known) for word in words]}}


def _told(pod: Object, container: Container) -> Object:
    """What the pod's status tells of a container; empty if it tells of another one of that name, or of none."""
    status = pod.get("status") or {}
    for field_name in ("containerStatuses", "initContainerStatuses"):
        for entry in status.get(field_name) or []:
            if str(entry.get("containerID") or "").endswith(f"://{container.id}"):
                told: Object = entry
                return told
    return {}
