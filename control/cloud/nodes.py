"""Cloud nodes: initialises nodes new to the cluster, and follows what becomes of their machines.

Invariant: a Node is deleted only if its kubelet is silent, and the provider says that its machine is no more.
Source: kubernetes cloud-provider's node and node_lifecycle controllers (taints, labels, events).
"""

from __future__ import annotations

from api.errors import NotFound
from api.loop import Loop, Surroundings
from api.objects import Object, copy, is_true, labels_of, name_of, uid_of
from control.cloud.provider import Instances, Metadata, ProviderError

UNINITIALIZED = "node.cloudprovider.kubernetes.io/uninitialized"
SHUTDOWN = "node.cloudprovider.kubernetes.io/shutdown"

_LOOK_AGAIN = 10.0


def initialized(node: Object, metadata: Metadata | None) -> Object:
    """The node with provider ID and labels as the machine's facts say, and without the taint."""
    changed = copy(node)
    spec = changed.setdefault("spec", {})
    taints = [taint for taint in spec.get("taints") or [] if taint["key"] != UNINITIALIZED]
    spec["taints"] = taints
    if metadata is None:
        return changed
    spec.setdefault("providerID", metadata.provider_id)
    labels = dict(labels_of(node)) | metadata.labels
    for key, value in (
        ("node.kubernetes.io/instance-type", metadata.instance_type),
        ("topology.kubernetes.io/zone", metadata.zone),
        ("topology.kubernetes.io/region", metadata.region),
    ):
        if value:
            labels[key] = value
    changed["metadata"]["labels"] = labels
    return changed


def with_addresses(node: Object, metadata: Metadata) -> Object | None:
    """The node with the machine's addresses, those only the kubelet knows kept; None if nothing changes."""
    present = (node.get("status") or {}).get("addresses") or []
    wanted = [{"type": kind, "address": address} for kind, address in metadata.addresses]
    kinds = {one["type"] for one in wanted}
    merged = wanted + [one for one in present if one["type"] not in kinds]
    if not wanted or sorted(map(str, merged)) == sorted(map(str, present)):
        return None
    changed = copy(node)
    changed.setdefault("status", {})["addresses"] = merged
    return changed


def is_gone(node: Object, instances: Instances) -> bool:
    """Whether the node's machine is no more. One that says it is ready has a machine, whatever the provider says."""
    return not is_true(node, "Ready") and not instances.exists(node)


def is_off(node: Object, instances: Instances) -> bool:
    """Whether the node's machine is switched off; one that says it is ready runs."""
    return not is_true(node, "Ready") and instances.shutdown(node)


def with_shutdown_taint(node: Object, shutdown: bool) -> Object | None:
    """The node with or without the taint of a machine that is switched off; None if nothing changes."""
    taints = (node.get("spec") or {}).get("taints") or []
    if any(taint["key"] == SHUTDOWN for taint in taints) == shutdown:
        return None
    changed = copy(node)
    rest = [taint for taint in taints if taint["key"] != SHUTDOWN]
    changed["spec"]["taints"] = [*rest, {"key": SHUTDOWN, "effect": "NoSchedule"}] if shutdown else rest
    return changed


class CloudNodeController(Loop):
    """The shell."""

    name = "cloud-node-controller"
    workers = 2

    def __init__(self, context: Surroundings, instances: Instances) -> None:
        super().__init__(context)
        self._instances = instances
        self._nodes = self.watch("nodes")

    def reconcile(self, key: str) -> float | None:
        """Initialise the node, or follow its machine."""
        node = self._nodes.get(key)
        if node is None:
            return None
        try:
            if any(taint["key"] == UNINITIALIZED for taint in (node.get("spec") or {}).get("taints") or []):
                self._initialize(node)
            else:
                self._follow(node)
        except ProviderError as error:
            self.events.warning(node, "CloudProviderFailed", str(error))
        return _LOOK_AGAIN

    def _initialize(self, node: Object) -> None:
        metadata = self._instances.metadata(node)
        stored = self.client.update("nodes", initialized(node, metadata))
        self._set_addresses(stored, metadata)
        self.events.normal(node, "Synced", "Node synced successfully")

    def _follow(self, node: Object) -> None:
        self._set_addresses(node, self._instances.metadata(node))
        if is_gone(node, self._instances):
            message = f"Deleting node {name_of(node)} because it does not exist in the cloud provider"
            self.events.normal(node, "DeletingNode", message)
            try:
                self.client.delete("nodes", name_of(node), uid=uid_of(node))
            except NotFound:
                return
            return
        changed = with_shutdown_taint(node, is_off(node, self._instances))
        if changed is not None:
            self.client.update("nodes", changed)

    def _set_addresses(self, node: Object, metadata: Metadata | None) -> None:
        changed = with_addresses(node, metadata) if metadata else None
        if changed is not None:
            self.client.update_status("nodes", changed)
