"""Keeps the node known: registers it, renews its lease, and writes its status when it changes.

Invariant: the status is written on change and every `status_seconds`; the lease every `lease_seconds`, whatever
the rest does.
Source: kubelet's node lease and node status loops; coordination.k8s.io/v1 Lease.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from agents.kubelet.machine import Machine
from agents.kubelet.node import Health, NodeSettings, events, machine_labels, node_object, node_status, status_patch
from agents.kubelet.runtime.interface import Image, Version
from api.client import STRATEGIC_MERGE_PATCH, Client
from api.errors import AlreadyExists, NotFound
from api.objects import Object, labels_of, owner_reference
from api.runtime import Runtime, micro_timestamp

log = logging.getLogger(__name__)

LEASE_NAMESPACE = "kube-node-lease"
LEASE_DURATION = 40


@dataclass(frozen=True, slots=True)
class Report:
    """What the node says of itself at one moment."""

    machine: Machine
    version: Version
    images: list[Image] = field(default_factory=list)
    health: Health = field(default_factory=Health)


class Heartbeat:
    """One node's registration, lease and status.

    `report()` tells how the node is now; `tell` is given the type, reason and sentence of what people should know.
    """

    def __init__(
        self,
        client: Client,
        clock: Runtime,
        settings: NodeSettings,
        report: Callable[[], Report],
        *,
        status_seconds: float = 300.0,
        tell: Callable[[str, str, str], None] = lambda kind, reason, message: None,
    ) -> None:
        self._client = client
        self._clock = clock
        self._settings = settings
        self._report = report
        self._status_seconds = status_seconds
        self._tell = tell
        self._written = float("-inf")
        self._lease: Object | None = None
        self.node: Object = {}

    def register(self) -> Object:
        """Create the Node, or bring an existing one's labels up to date; the Node. Raises ApiError."""
        report = self._report()
        wanted = node_object(self._settings, report.machine)
        fresh = self._status(report, {})
        try:
            self.node = self._client.create("nodes", wanted | {"status": fresh})
            self._tell_all(events({}, fresh, self._settings.name))
        except AlreadyExists:
            self.node = self._client.get("nodes", self._settings.name)
            self._label(labels_of(wanted))
        return self.node

    def report_status(self) -> None:
        """Write what changed; all conditions if the last write is long ago. Registers a node that is missing.

        The labels that say what machine it is are kept as well; others can be changed by anyone who may.
        """
        now = self._clock.monotonic()
        heartbeat = now - self._written >= self._status_seconds
        report = self._report()
        fresh = self._status(report, self.node)
        patch = status_patch(self.node, fresh, heartbeat=heartbeat)
        news = events(self.node, fresh, self._settings.name)
        try:
            if patch is not None:
                self.node = self._client.patch(
                    "nodes", self._settings.name, patch, content_type=STRATEGIC_MERGE_PATCH, subresource="status"
                )
                self._written = now
                self._tell_all(news)
            self._label(machine_labels(self._settings, report.machine))
        except NotFound:
            log.warning("node %s is not registered any more; registering it again", self._settings.name)
            self.register()
            self._written = now

    def _label(self, wanted: Mapping[str, str]) -> None:
        labels = {key: value for key, value in wanted.items() if labels_of(self.node).get(key) != value}
        if labels:
            self.node = self._client.patch("nodes", self._settings.name, {"metadata": {"labels": labels}})

    def _tell_all(self, news: list[tuple[str, str, str]]) -> None:
        for kind, reason, message in news:
            self._tell(kind, reason, message)

    def observe(self, node: Object) -> bool:
        """Take note of the Node as the watch has it; whether it is newer than what was known."""
        if _revision(node) <= _revision(self.node):
            return False
        self.node = node
        return True

    def renew_lease(self) -> None:
        """Renew the node's lease, making it first if it is missing."""
        renewed = micro_timestamp(self._clock.time())
        if self._lease is None:
            self._lease = self._find_or_create_lease(renewed)
            return
        patch: Object = {"spec": {"renewTime": renewed, "holderIdentity": self._settings.name}}
        if not self._lease["metadata"].get("ownerReferences"):
            # The lease was made before the node was known.
            patch["metadata"] = {"ownerReferences": self._owners()}
        try:
            self._lease = self._client.patch("leases.coordination.k8s.io", self._settings.name, patch, LEASE_NAMESPACE)
        except NotFound:
            self._lease = None
            raise

    def _find_or_create_lease(self, renewed: str) -> Object:
        lease: Object = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {
                "name": self._settings.name,
                "namespace": LEASE_NAMESPACE,
                "ownerReferences": self._owners(),
            },
            "spec": {
                "holderIdentity": self._settings.name,
                "leaseDurationSeconds": LEASE_DURATION,
                "renewTime": renewed,
            },
        }
        try:
            return self._client.create("leases.coordination.k8s.io", lease)
        except AlreadyExists:
            # It may be that of an earlier Node of this name, with which it would go.
            patch = {"metadata": {"ownerReferences": self._owners()}, "spec": lease["spec"]}
            return self._client.patch("leases.coordination.k8s.io", self._settings.name, patch, LEASE_NAMESPACE)

    def _owners(self) -> list[Object]:
        if not self.node:
            return []
        return [owner_reference(self.node, api_version="v1", kind="Node", controller=False)]

    def _status(self, report: Report, old: Object) -> Object:
        return node_status(
            self._settings, report.machine, report.version, report.images, report.health, old, self._clock.time()
        )


def _revision(node: Object) -> int:
    return int((node.get("metadata") or {}).get("resourceVersion") or 0)
