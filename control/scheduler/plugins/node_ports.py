"""NodePorts: a host port is given once a node, protocol and address."""

from __future__ import annotations

from collections.abc import Sequence

from control.scheduler.framework import NodePlugin, Rejection, Wake
from control.scheduler.pod import PodInfo
from control.scheduler.snapshot import NodeInfo

_ANY = "0.0.0.0"
_REJECTION = (Rejection("NodePorts", "node(s) didn't have free ports for the requested pod ports"),)


class NodePorts(NodePlugin):
    """Filters by the host ports that are taken."""

    name = "NodePorts"
    wakes = frozenset({Wake.NODE_ADDED, Wake.POD_REMOVED})

    def applies(self, pod: PodInfo) -> bool:
        return bool(pod.ports)

    def filter(self, pod: PodInfo, node: NodeInfo) -> Sequence[Rejection]:
        for protocol, address, port in pod.ports:
            for taken_protocol, taken_address, taken_port in node.ports:
                if (protocol, port) == (taken_protocol, taken_port) and (
                    address == taken_address or _ANY in (address, taken_address)
                ):
                    return _REJECTION
        return ()
