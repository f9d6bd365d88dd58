"""Leader election by a Lease: at most one process of a name acts at a time.

The leader renews well before `renew_deadline` is over, and every `retry` seconds where that fails or takes long; it
counts itself out `renew_deadline` after its last success, which is before any other may count it out
(`lease_duration`), measured on each process's own monotonic clock.

Invariant: `is_leader()` is False as soon as this process can no longer be sure, and what leads sends no write then: its
client is fenced, for a task that hung in a request would else go on beside the next leader.
Source: client-go's leaderelection (record fields and timing); coordination.k8s.io/v1 Lease.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from api.client import Client
from api.errors import AlreadyExists, ApiError, Conflict, NotFound
from api.objects import Object
from api.runtime import Event, Runtime, micro_timestamp
from api.transport import Request, Response, Transport, TransportError

log = logging.getLogger(__name__)
_READS = ("GET", "HEAD")


class _Fence:
    """A transport that sends writes only while `may_write()` says so."""

    def __init__(self, transport: Transport, may_write: Callable[[], bool]) -> None:
        self._transport = transport
        self._may_write = may_write

    def send(self, request: Request, *, timeout: float | None = 30.0, stream: bool = False) -> Response:
        """See Transport.send."""
        if request.method not in _READS and not self._may_write():
            raise TransportError(f"{request.method} {request.path}: not sent, since another may lead by now")
        return self._transport.send(request, timeout=timeout, stream=stream)


class LeaderElector:
    """Campaigns for the Lease `namespace/name` as `identity`."""

    def __init__(
        self,
        client: Client,
        runtime: Runtime,
        *,
        name: str,
        identity: str,
        namespace: str = "kube-system",
        lease_duration: float = 15.0,
        renew_deadline: float = 10.0,
        retry: float = 2.0,
    ) -> None:
        self._client = client
        self._runtime = runtime
        self._name = name
        self._identity = identity
        self._namespace = namespace
        self._duration = lease_duration
        self._deadline = renew_deadline
        self._retry = retry
        # After a success, so that there is time for several more tries: a cluster at rest wakes for little else.
        self._rest = max(retry, 0.4 * renew_deadline)
        self._held: Object | None = None
        self._observed: tuple[str, float] = ("", 0.0)
        self._renewed = float("-inf")
        self._terms = 0

    def is_leader(self) -> bool:
        """Whether this process may act now."""
        return self._seconds_left() > 0

    def run(self, stop: Event, lead: Callable[[Client, Event], None]) -> None:
        """Campaign until `stop`; while leading, `lead(client, lost)` runs in a task and must end when `lost` is set.

        The client is good for that term alone: afterwards its writes raise TransportError.
        """
        while not stop.is_set():
            if self._try():
                self._lead(stop, lead)
            stop.wait(self._retry)

    def _lead(self, stop: Event, lead: Callable[[Client, Event], None]) -> None:
        log.info("%s leads as %s", self._name, self._identity)
        lost = self._runtime.event()
        self._terms += 1
        task = self._runtime.spawn(f"lead-{self._name}", lead, self._fenced(self._terms), lost)
        # Renewing has a task of its own: a request that hangs must not keep the deadline from being noticed.
        self._runtime.spawn(f"renew-{self._name}", self._renew, lost)
        while self.is_leader() and not stop.wait(self._seconds_left()):
            continue
        lost.set()
        task.join(self._deadline)
        if stop.is_set():
            self._release()
        else:
            log.warning("%s lost the lead: the Lease could not be renewed for %.0f s", self._name, self._deadline)

    def _fenced(self, term: int) -> Client:
        fence = _Fence(self._client.transport, lambda: self._terms == term and self.is_leader())
        return Client(fence, user_agent=self._client.user_agent, timeout=self._client.timeout)

    def _renew(self, lost: Event) -> None:
        pause = self._rest
        while not lost.wait(pause):
            started = self._runtime.monotonic()
            renewed = self._try()
            quick = self._runtime.monotonic() - started < 0.1 * self._deadline
            pause = self._rest if renewed and quick else self._retry

    def _seconds_left(self) -> float:
        """How long this process can still be sure."""
        return max(0.0, self._renewed + self._deadline - self._runtime.monotonic())

    def _try(self) -> bool:
        started = self._runtime.monotonic()
        try:
            held = self._acquire()
        except (ApiError, TransportError) as error:
            self._held = None
            log.info("campaigning for %s failed: %s", self._name, error)
            return False
        if held:
            self._renewed = started
        return held

    def _acquire(self) -> bool:
        now = micro_timestamp(self._runtime.time())
        if self._held is not None:
            # Nobody else writes a Lease that is held: what we stored last is what is there, or the update says no.
            return self._write(self._held, now)
        try:
            lease = self._client.get("leases.coordination.k8s.io", self._name, self._namespace)
        except NotFound:
            return self._create(now)
        spec = lease.setdefault("spec", {})
        holder = spec.get("holderIdentity") or ""
        version = lease["metadata"]["resourceVersion"]
        if self._observed[0] != version:
            self._observed = (version, self._runtime.monotonic())
        fresh = self._runtime.monotonic() - self._observed[1] < self._duration
        if holder and holder != self._identity and fresh:
            return False
        if holder != self._identity:
            spec["acquireTime"] = now
            spec["leaseTransitions"] = int(spec.get("leaseTransitions") or 0) + 1
        return self._write(lease, now)

    def _write(self, lease: Object, now: str) -> bool:
        """Renew or take the Lease as it is known; False if somebody was faster."""
        spec = {"holderIdentity": self._identity, "renewTime": now, "leaseDurationSeconds": int(self._duration)}
        self._held = None
        try:
            stored = self._client.update("leases.coordination.k8s.io", lease | {"spec": lease["spec"] | spec})
        except (Conflict, NotFound):
            return False
        self._held = stored
        self._observed = (stored["metadata"]["resourceVersion"], self._runtime.monotonic())
        return True

    def _create(self, now: str) -> bool:
        lease: Object = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": self._name, "namespace": self._namespace},
            "spec": {
                "holderIdentity": self._identity,
                "leaseDurationSeconds": int(self._duration),
                "acquireTime": now,
                "renewTime": now,
                "leaseTransitions": 0,
            },
        }
        try:
            self._client.create("leases.coordination.k8s.io", lease)
        except AlreadyExists:
            return False
        return True

    def _release(self) -> None:
        """Give the Lease back so that a successor need not wait for it to run out."""
        if not self.is_leader():
            return
        self._renewed = float("-inf")
        self._held = None
        try:
            lease = self._client.get("leases.coordination.k8s.io", self._name, self._namespace)
            if lease["spec"].get("holderIdentity") == self._identity:
                lease["spec"]["holderIdentity"] = ""
                self._client.update("leases.coordination.k8s.io", lease)
        except (ApiError, TransportError) as error:
            log.info("%s could not be given back and will run out: %s", self._name, error)
