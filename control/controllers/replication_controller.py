"""ReplicationController: the ReplicaSet's older kin, with a plain map as selector.

Invariant: it differs from ReplicaSet in kind, selector and what its status does not tell only.
"""

from __future__ import annotations

from api.objects import Object
from api.selectors import LabelSelector
from control.controllers.replicaset import ReplicaSetController


class ReplicationController(ReplicaSetController):
    """The ReplicaSet loop over ReplicationControllers."""

    name = "replication-controller"
    resource = "replicationcontrollers"
    untold = ("terminatingReplicas",)

    def selector(self, owner: Object) -> LabelSelector:
        labels = owner["spec"].get("selector")
        return LabelSelector.from_set(labels) if labels else LabelSelector(nothing=True)
