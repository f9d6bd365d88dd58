"""PodTopologyLabels: a pod carries the zone and the region of its node, so that it can read them itself.

Invariant: what a pod says of its zone and region is what its node said as they were brought together.
Source: plugin/pkg/admission/podtopologylabels.
"""

from __future__ import annotations

from api.objects import Object, labels_of
from control.apiserver.admission.pipeline import PluginBase
from control.apiserver.cache import Cache
from control.apiserver.operation import CREATE, Operation

_LABELS = ("topology.kubernetes.io/zone", "topology.kubernetes.io/region")


class TopologyLabels(PluginBase):
    """Labels pods that are created on a node, and the bindings of others, which hand labels on to their pod."""

    def __init__(self, cache: Cache) -> None:
        self._nodes = cache.collection("", "nodes")

    def handles(self, operation: Operation) -> bool:
        resource = operation.resource
        is_pod = (resource.group, resource.plural) == ("", "pods")
        return operation.verb == CREATE and is_pod and operation.subresource in ("", "binding")

    def mutate(self, operation: Operation, new: Object, old: Object | None) -> Object:
        if operation.subresource == "binding":
            target = new.get("target") or {}
            node = target.get("name") if target.get("kind") == "Node" else ""
        else:
            node = new["spec"].get("nodeName")
        found = self._nodes.objects.get(node) if node else None
        labels = found.labels if found else {}
        copied = {label: labels[label] for label in _LABELS if label in labels}
        if copied:
            new["metadata"]["labels"] = labels_of(new) | copied
        return new
