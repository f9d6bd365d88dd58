"""ReplicaSets of a Deployment: which is the current one, what they are called, and which revision they are.

Invariant: one template (and collision count) always gives the same name, so a ReplicaSet is never created twice.
Source: kubernetes pkg/controller/deployment/util (annotations, FindNewReplicaSet, SetNewReplicaSetAnnotations).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from api.names import SUFFIX_ALPHABET
from api.naturals import natural
from api.objects import Object, annotations_of, copy, name_of, namespace_of, owner_reference

HASH_LABEL = "pod-template-hash"
REVISION = "deployment.kubernetes.io/revision"
REVISION_HISTORY = "deployment.kubernetes.io/revision-history"
DESIRED = "deployment.kubernetes.io/desired-replicas"
MAXIMUM = "deployment.kubernetes.io/max-replicas"
_NOT_COPIED = frozenset(
    {
        "kubectl.kubernetes.io/last-applied-configuration",
        REVISION,
        REVISION_HISTORY,
        DESIRED,
        MAXIMUM,
        "deprecated.deployment.rollback.to",
    }
)


def template_hash(template: Mapping[str, Any], collisions: int) -> str:
    """A short name of a pod template: FNV-1a over its sorted JSON, in letters that spell no words."""
    value = 2166136261
    text = orjson.dumps(template, option=orjson.OPT_SORT_KEYS) + (str(collisions).encode() if collisions else b"")
    for byte in text:
        value = ((value ^ byte) * 16777619) & 0xFFFFFFFF
    return "".join(SUFFIX_ALPHABET[ord(digit) % len(SUFFIX_ALPHABET)] for digit in str(value))


def bare_template(template: Mapping[str, Any]) -> Object:
    """The template without the hash label that ReplicaSets add."""
    bare = copy(dict(template))
    metadata = bare.get("metadata") or {}
    labels = dict(metadata.get("labels") or {})
    labels.pop(HASH_LABEL, None)
    metadata["labels"] = labels
    metadata.pop("creationTimestamp", None)
    bare["metadata"] = metadata
    return bare


def current(deployment: Object, replicasets: Sequence[Object]) -> Object | None:
    """The oldest ReplicaSet with the Deployment's template."""
    wanted = bare_template(deployment["spec"]["template"])
    for one in sorted(replicasets, key=age):
        if bare_template(one["spec"]["template"]) == wanted:
            return one
    return None


def previous(deployment: Object, replicasets: Sequence[Object], newest: Object | None) -> list[Object]:
    """All others, oldest first."""
    return sorted((one for one in replicasets if one is not newest), key=age)


def revision(obj: Object) -> int:
    """The revision annotation; 0 if absent."""
    text = annotations_of(obj).get(REVISION, "0")
    return natural(text) or 0


def next_revision(old: Sequence[Object]) -> int:
    """One more than the highest revision of the old ReplicaSets."""
    return max((revision(one) for one in old), default=0) + 1


def new_replicaset(deployment: Object, replicas: int, limit: int, number: int) -> Object:
    """The ReplicaSet for the Deployment's present template."""
    template = bare_template(deployment["spec"]["template"])
    digest = template_hash(template, int((deployment.get("status") or {}).get("collisionCount") or 0))
    template["metadata"]["labels"][HASH_LABEL] = digest
    selector = copy(deployment["spec"]["selector"])
    selector["matchLabels"] = dict(selector.get("matchLabels") or {}) | {HASH_LABEL: digest}
    made: Object = {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "name": f"{name_of(deployment)}-{digest}",
            "namespace": namespace_of(deployment),
            "labels": dict(template["metadata"]["labels"]),
            "annotations": {},
            "ownerReferences": [owner_reference(deployment, api_version="apps/v1", kind="Deployment")],
        },
        "spec": {"replicas": replicas, "selector": selector, "template": template},
    }
    if deployment["spec"].get("minReadySeconds"):
        made["spec"]["minReadySeconds"] = deployment["spec"]["minReadySeconds"]
    made["metadata"]["annotations"] = current_annotations(deployment, made, number) | sizes(
        int(deployment["spec"].get("replicas", 1)), limit
    )
    return made


def sizes(wanted: int, limit: int) -> dict[str, str]:
    """The annotations by which proportional scaling knows the size a ReplicaSet was part of."""
    return {DESIRED: str(wanted), MAXIMUM: str(limit)}


def current_annotations(deployment: Object, replicaset: Object, number: int) -> dict[str, str]:
    """The annotations of the current ReplicaSet: the Deployment's own, and revision `number` if that is higher.

    A ReplicaSet that becomes current again (a rollback) remembers the revisions it had.
    """
    found = dict(annotations_of(replicaset))
    found |= {key: value for key, value in annotations_of(deployment).items() if key not in _NOT_COPIED}
    had = revision(replicaset)
    if had < number:
        found[REVISION] = str(number)
        if had:
            history = [entry for entry in found.get(REVISION_HISTORY, "").split(",") if entry]
            if str(had) not in history:
                found[REVISION_HISTORY] = ",".join([*history, str(had)])
    return found


def superfluous(deployment: Object, old: Sequence[Object]) -> list[Object]:
    """Old ReplicaSets beyond the revision history limit: empty ones, oldest revision first."""
    limit = deployment["spec"].get("revisionHistoryLimit")
    if limit is None:
        return []
    clean = [one for one in old if not one["metadata"].get("deletionTimestamp") and _empty(one)]
    surplus = len(clean) - int(limit)
    return sorted(clean, key=revision)[:surplus] if surplus > 0 else []


def _empty(replicaset: Object) -> bool:
    status = replicaset.get("status") or {}
    seen = int(status.get("observedGeneration") or 0) >= int(replicaset["metadata"].get("generation") or 0)
    return seen and not status.get("replicas") and not replicaset["spec"].get("replicas", 1)


def age(obj: Object) -> tuple[str, str]:
    """Sorts the oldest first."""
    return str(obj["metadata"].get("creationTimestamp") or ""), name_of(obj)
