"""Which PersistentVolume serves which claim: the rules that the scheduler and the binder share.

Invariant: pure; a volume reserved for one claim never suits another.
Source: kubernetes component-helpers/storage/volume (FindMatchingVolume), pkg/controller/volume/persistentvolume.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from api.node_selection import matches_any
from api.objects import Object, annotations_of, is_deleting, labels_of, name_of, namespace_of, uid_of
from api.quantities import parse
from api.selectors import LabelSelector

SELECTED_NODE = "volume.kubernetes.io/selected-node"
BOUND_BY_CONTROLLER = "pv.kubernetes.io/bound-by-controller"
BIND_COMPLETED = "pv.kubernetes.io/bind-completed"
PROVISIONED_BY = "pv.kubernetes.io/provisioned-by"
LOCAL_PATH = "wherry.dev/local-path"
NO_PROVISIONER = "kubernetes.io/no-provisioner"
_OLD_CLASS = "volume.beta.kubernetes.io/storage-class"


def class_of(obj: Mapping[str, Any]) -> str:
    """The StorageClass that a claim or a volume names, "" for none."""
    return str(annotations_of(obj).get(_OLD_CLASS) or obj["spec"].get("storageClassName") or "")


def waits_for_consumer(storage_class: Mapping[str, Any] | None) -> bool:
    """Whether claims of the class are bound only once a pod that uses them has a node."""
    return bool((storage_class or {}).get("volumeBindingMode") == "WaitForFirstConsumer")


def provisions(storage_class: Mapping[str, Any] | None) -> bool:
    """Whether volumes of the class are made on demand."""
    return bool((storage_class or {}).get("provisioner", NO_PROVISIONER) != NO_PROVISIONER)


def is_bound(claim: Mapping[str, Any]) -> bool:
    """Whether the claim has its volume for good."""
    return bool(claim["spec"].get("volumeName")) and BIND_COMPLETED in annotations_of(claim)


def claim_keys(pod: Mapping[str, Any]) -> list[str]:
    """Keys of the claims that a pod mounts, generic ephemeral volumes included."""
    found = []
    for volume in pod["spec"].get("volumes") or []:
        if volume.get("persistentVolumeClaim"):
            found.append(f"{namespace_of(pod)}/{volume['persistentVolumeClaim']['claimName']}")
        elif volume.get("ephemeral"):
            found.append(f"{namespace_of(pod)}/{ephemeral_claim_name(pod, volume)}")
    return found


def ephemeral_claim_name(pod: Mapping[str, Any], volume: Mapping[str, Any]) -> str:
    """The name of the claim behind a generic ephemeral volume."""
    return f"{name_of(pod)}-{volume['name']}"


def reaches(volume: Mapping[str, Any], node_name: str, labels: Mapping[str, str]) -> bool:
    """Whether the volume can be used on the node."""
    required = (volume["spec"].get("nodeAffinity") or {}).get("required")
    return required is None or matches_any(required.get("nodeSelectorTerms") or [], node_name, labels)


def refers_to(volume: Mapping[str, Any], claim: Mapping[str, Any]) -> bool:
    """Whether the volume is reserved for that claim."""
    reference = volume["spec"].get("claimRef") or {}
    named = (reference.get("namespace"), reference.get("name")) == (namespace_of(claim), name_of(claim))
    return named and reference.get("uid") in (None, "", uid_of(claim))


def reference_to(claim: Mapping[str, Any]) -> Object:
    """The `claimRef` of a volume that is the claim's."""
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "namespace": namespace_of(claim),
        "name": name_of(claim),
        "uid": uid_of(claim),
        "resourceVersion": claim["metadata"].get("resourceVersion", ""),
    }


def reserved(volume: Object, claim: Object) -> Object:
    """The volume as it is when it is the claim's; a reservation by hand is kept apart from one made here."""
    by_hand = refers_to(volume, claim)
    metadata = volume["metadata"]
    if not by_hand:
        metadata = metadata | {"annotations": annotations_of(volume) | {BOUND_BY_CONTROLLER: "yes"}}
    return volume | {"metadata": metadata, "spec": volume["spec"] | {"claimRef": reference_to(claim)}}


def find(claim: Object, volumes: Iterable[Object], usable: Callable[[Object], bool] = lambda _: True) -> Object | None:
    """The volume for the claim: the one reserved for it, else the smallest free one that has all it asks for."""
    suitable = [one for one in volumes if suits(claim, one) and usable(one)]
    return min(suitable, key=lambda one: (not refers_to(one, claim), _capacity(one), name_of(one)), default=None)


def suits(claim: Object, volume: Object) -> bool:
    """Whether the volume may become the claim's, apart from where it can be used."""
    wanted, offered = claim["spec"], volume["spec"]
    if is_deleting(volume) or mode_of(claim) != mode_of(volume):
        return False
    if _capacity(volume) < _requested(claim):
        return False
    if refers_to(volume, claim):
        return True
    return (
        not offered.get("claimRef")
        and (volume.get("status") or {}).get("phase") == "Available"
        and class_of(volume) == class_of(claim)
        and set(wanted.get("accessModes") or []) <= set(offered.get("accessModes") or [])
        and (not wanted.get("selector") or LabelSelector.from_json(wanted["selector"]).matches(labels_of(volume)))
    )


def mode_of(obj: Object) -> str:
    """Filesystem or Block, of a claim or a volume."""
    return str(obj["spec"].get("volumeMode") or "Filesystem")


def unfit(claim: Object, volume: Object) -> str:
    """Why a free volume that the claim asks for by name cannot be the claim's; "" if it can."""
    wanted, offered = claim["spec"], volume["spec"]
    if _capacity(volume) < _requested(claim):
        return "requested PV is too small"
    if class_of(volume) != class_of(claim):
        return "storageClassName does not match"
    if mode_of(claim) != mode_of(volume):
        return "incompatible volumeMode"
    if not set(wanted.get("accessModes") or []) <= set(offered.get("accessModes") or []):
        return "incompatible accessMode"
    return ""


def default_class(classes: Iterable[Object]) -> Object | None:
    """The class of claims that name none: of several defaults the newest."""
    marked = [one for one in classes if annotations_of(one).get(_IS_DEFAULT) == "true"]
    marked.sort(key=name_of)
    return max(marked, key=lambda one: str(one["metadata"].get("creationTimestamp") or ""), default=None)


_IS_DEFAULT = "storageclass.kubernetes.io/is-default-class"


def _capacity(volume: Object) -> int:
    return parse((volume["spec"].get("capacity") or {}).get("storage") or 0).value()


def _requested(claim: Object) -> int:
    return parse(((claim["spec"].get("resources") or {}).get("requests") or {}).get("storage") or 0).value()
