"""Node IPAM: gives each node a range of pod addresses out of each of the cluster's ranges.

Invariant: no range is given twice: allocation is one worker's work, over what nodes have and what it gave itself.
Source: kubernetes pkg/controller/nodeipam (RangeAllocator).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from functools import lru_cache

from api.loop import Loop
from api.networks import Network
from api.objects import Object, is_deleting, name_of, uid_of
from control.controllers.context import Context


def taken_by(nodes: Iterable[Object]) -> set[str]:
    """All ranges that nodes have."""
    found: set[str] = set()
    for node in nodes:
        spec = node.get("spec") or {}
        found.update(spec.get("podCIDRs") or [])
        if spec.get("podCIDR"):
            found.add(spec["podCIDR"])
    return found


def decide(cluster: Network, mask: int, taken: Iterable[str]) -> str:
    """The first range of the cluster's that overlaps none of `taken`; "" if all are."""
    used = [one for text in taken if (one := _network(text)).version == cluster.version]
    same_size = {int(one.network_address) for one in used if one.prefixlen == mask}
    others = [one for one in used if one.prefixlen != mask]
    first, size = int(cluster.network_address), 1 << (cluster.max_prefixlen - mask)
    for address in range(first, first + cluster.num_addresses, size):
        if address in same_size:
            continue
        candidate = type(cluster)((address, mask))
        if not any(candidate.overlaps(one) for one in others):
            return str(candidate)
    return ""


@lru_cache(maxsize=16384)
def _network(text: str) -> Network:
    return ipaddress.ip_network(text, strict=False)


class NodeIpamController(Loop):
    """The shell around `decide`."""

    name = "cidrAllocator"
    workers = 1

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.options = context.options
        self._nodes = self.watch("nodes")
        self._given: dict[str, tuple[str, list[str]]] = {}

    def reconcile(self, key: str) -> float | None:
        """Give the node its ranges if it has none."""
        node = self._nodes.get(key)
        if node is None or is_deleting(node):
            return None
        if (node.get("spec") or {}).get("podCIDR"):
            self._given.pop(key, None)
            return None
        uid, ranges = self._given.get(key, ("", []))
        if uid != uid_of(node):
            ranges = self._choose()
            if not all(ranges):
                self.events.normal(node, "CIDRNotAvailable", f"Node {key} status is now: CIDRNotAvailable")
                return 60.0
            self._given[key] = (uid_of(node), ranges)
        patch = {"metadata": {"uid": uid_of(node)}, "spec": {"podCIDR": ranges[0], "podCIDRs": ranges}}
        self.client.patch("nodes", name_of(node), patch)
        return None

    def _choose(self) -> list[str]:
        """A range of each of the cluster's; "" where all are taken."""
        present = {name_of(node) for node in self._nodes.items()}
        self._given = {name: given for name, given in self._given.items() if name in present}
        taken = taken_by(self._nodes.items()) | {one for _, ranges in self._given.values() for one in ranges}
        masks = {4: self.options.node_cidr_mask_size, 6: self.options.node_cidr_mask_size_ipv6}
        return [decide(cluster, masks[cluster.version], taken) for cluster in self.options.cluster_cidrs]
