"""Defaults of the apps group.

Source: the apps group in the API reference.
"""

from __future__ import annotations

from api.defaults import core
from api.defaults.fill import child, fill, fill_absent, items
from api.defaults.pods import default_template
from api.objects import Object

_HISTORY = 10
_PROGRESS_DEADLINE = 600


def _deployment(deployment: Object) -> None:
    spec = deployment["spec"]
    default_template(child(spec, "template"))
    fill_absent(spec, replicas=1, revisionHistoryLimit=_HISTORY, progressDeadlineSeconds=_PROGRESS_DEADLINE)
    strategy = child(spec, "strategy")
    fill(strategy, type="RollingUpdate")
    if strategy["type"] == "RollingUpdate":
        fill_absent(child(strategy, "rollingUpdate"), maxUnavailable="25%", maxSurge="25%")


def _replica_set(replica_set: Object) -> None:
    spec = replica_set["spec"]
    fill_absent(spec, replicas=1)
    if isinstance(spec.get("template"), dict):
        default_template(spec["template"])


def _daemon_set(daemon_set: Object) -> None:
    spec = daemon_set["spec"]
    default_template(child(spec, "template"))
    fill_absent(spec, revisionHistoryLimit=_HISTORY)
    strategy = child(spec, "updateStrategy")
    fill(strategy, type="RollingUpdate")
    if strategy["type"] == "RollingUpdate":
        fill_absent(child(strategy, "rollingUpdate"), maxUnavailable=1, maxSurge=0)


def _stateful_set(stateful_set: Object) -> None:
    spec = stateful_set["spec"]
    default_template(child(spec, "template"))
    fill(spec, podManagementPolicy="OrderedReady")
    fill_absent(spec, replicas=1, revisionHistoryLimit=_HISTORY)
    strategy = child(spec, "updateStrategy")
    fill(strategy, type="RollingUpdate")
    if strategy["type"] == "RollingUpdate":
        fill_absent(child(strategy, "rollingUpdate"), partition=0)
    fill(child(spec, "persistentVolumeClaimRetentionPolicy"), whenDeleted="Retain", whenScaled="Retain")
    for claim in items(spec, "volumeClaimTemplates"):
        fill(claim, apiVersion="v1", kind="PersistentVolumeClaim")
        fill(child(claim, "status"), phase="Pending")
        core.default_claim_spec(child(claim, "spec"))


DEFAULTERS = {
    "Deployment": _deployment,
    "ReplicaSet": _replica_set,
    "DaemonSet": _daemon_set,
    "StatefulSet": _stateful_set,
}
