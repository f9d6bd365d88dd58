"""Events about the node that the proxy runs on, and about services there.

Invariant: as the original's agents do, the node is referred to by its name also where a UID is asked for.
"""

from __future__ import annotations

from api.events import EventRecorder
from api.objects import Object, split_key


class NodeEvents:
    """Says things about one node."""

    def __init__(self, recorder: EventRecorder, node_name: str) -> None:
        self._recorder = recorder
        self.node_name = node_name
        self._node: Object = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": node_name, "uid": node_name}}

    def warning(self, reason: str, message: str) -> None:
        """Something on the node needs a person's eye."""
        self._recorder.warning(self._node, reason, message)

    def normal(self, reason: str, message: str) -> None:
        """Something on the node went as it should."""
        self._recorder.normal(self._node, reason, message)

    def service_warning(self, key: str, reason: str, message: str) -> None:
        """What a service asks for is not to be had on the node."""
        namespace, name = split_key(key)
        metadata = {"namespace": namespace, "name": name, "uid": key}
        self._recorder.warning({"apiVersion": "v1", "kind": "Service", "metadata": metadata}, reason, message)
