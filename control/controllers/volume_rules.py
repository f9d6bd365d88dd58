"""What becomes of a claim and of a volume next.

Invariant: pure. A claim is bound to one volume at most, and a volume that was one claim's is never given to another.
Source: kubernetes pkg/controller/volume/persistentvolume (syncClaim, syncVolume; events and phases).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from api.objects import Object, annotations_of, copy, labels_of, name_of, namespace_of, uid_of
from api.volumes import (
    BIND_COMPLETED,
    BOUND_BY_CONTROLLER,
    LOCAL_PATH,
    PROVISIONED_BY,
    SELECTED_NODE,
    class_of,
    find,
    is_bound,
    mode_of,
    refers_to,
    reserved,
    unfit,
    waits_for_consumer,
)
from control.controllers.local_directories import FINALIZER

LOCAL_DIRECTORY = "/var/lib/wherry/volumes"


_OWN = "kubernetes.io/"
DRIVERS = {
    "kubernetes.io/aws-ebs": "ebs.csi.aws.com",
    "kubernetes.io/azure-disk": "disk.csi.azure.com",
    "kubernetes.io/azure-file": "file.csi.azure.com",
    "kubernetes.io/cinder": "cinder.csi.openstack.org",
    "kubernetes.io/gce-pd": "pd.csi.storage.gke.io",
    "kubernetes.io/portworx-volume": "pxd.portworx.com",
    "kubernetes.io/vsphere-volume": "csi.vsphere.vmware.com",
}
"""Provisioners that once were Kubernetes' own, and who does their work."""


@dataclass(frozen=True, slots=True)
class Bind:
    """The claim gets this volume."""

    volume: Object


@dataclass(frozen=True, slots=True)
class Provision:
    """A volume is to be made for the claim."""

    storage_class: Object


@dataclass(frozen=True, slots=True)
class Pend:
    """The claim waits; `reason` and `message` are told as an event of that kind, unless empty."""

    kind: str = "Normal"
    reason: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True)
class Lose:
    """The claim has lost its volume for good."""

    reason: str
    message: str


ClaimStep = Bind | Provision | Pend | Lose


def decide_claim(
    claim: Object, volumes: Iterable[Object], storage_class: Object | None, named: Object | None, consumer: str = ""
) -> ClaimStep:
    """The claim's next step. `named` is the volume of its `volumeName`; `consumer` a pod that waits for it."""
    volume_name = claim["spec"].get("volumeName") or ""
    if is_bound(claim):
        return _still_bound(claim, named)
    if BIND_COMPLETED in annotations_of(claim):
        return Lose("ClaimLost", "Bound claim has lost reference to PersistentVolume. Data on the volume is lost!")
    return _asking(claim, named) if volume_name else _unbound(claim, volumes, storage_class, consumer)


def _asking(claim: Object, named: Object | None) -> ClaimStep:
    """The step of a claim that names the volume it wants."""
    if named is None:
        return Pend()
    if not named["spec"].get("claimRef"):
        problem = unfit(claim, named)
        if problem:
            message = f'Cannot bind to requested volume "{name_of(named)}": {problem}'
            return Pend("Warning", "VolumeMismatch", message)
    elif not refers_to(named, claim):
        return Pend("Warning", "FailedBinding", f'volume "{name_of(named)}" already bound to a different claim.')
    return Bind(named)


def _still_bound(claim: Object, named: Object | None) -> ClaimStep:
    if named is None:
        return Lose("ClaimLost", "Bound claim has lost its PersistentVolume. Data on the volume is lost!")
    if named["spec"].get("claimRef") and not refers_to(named, claim):
        return Lose("ClaimMisbound", "Two claims are bound to the same volume, this one is bound incorrectly")
    return Bind(named)


def _unbound(claim: Object, volumes: Iterable[Object], storage_class: Object | None, consumer: str) -> ClaimStep:
    delayed = waits_for_consumer(storage_class) and SELECTED_NODE not in annotations_of(claim)
    found = find(claim, volumes, lambda one: not delayed or refers_to(one, claim))
    if found is not None:
        return Bind(found)
    if delayed and consumer:
        return Pend("Normal", "WaitForPodScheduled", f"waiting for pod {consumer} to be scheduled")
    if delayed:
        return Pend("Normal", "WaitForFirstConsumer", "waiting for first consumer to be created before binding")
    if storage_class is not None:
        provisioner = str(storage_class.get("provisioner") or "")
        if provisioner.startswith(_OWN) and provisioner not in DRIVERS:
            return Pend("Warning", "ProvisioningFailed", f"no volume plugin matched name: {provisioner}")
        return Provision(storage_class)
    if class_of(claim) and storage_class is None:
        return Pend("Warning", "ProvisioningFailed", f'storageclass.storage.k8s.io "{class_of(claim)}" not found')
    message = "no persistent volumes available for this claim and no storage class is set"
    return Pend("Normal", "FailedBinding", message)


def bound_claim(claim: Object, volume: Object) -> Object:
    """The claim as it is when it has that volume for good."""
    changed = copy(claim)
    annotations = dict(annotations_of(claim)) | {BIND_COMPLETED: "yes"}
    if claim["spec"].get("volumeName") != name_of(volume):
        annotations[BOUND_BY_CONTROLLER] = "yes"
    changed["metadata"]["annotations"] = annotations
    changed["spec"]["volumeName"] = name_of(volume)
    return changed


def bound_volume(volume: Object, claim: Object) -> Object:
    """The volume as it is when it is the claim's."""
    present = volume["spec"].get("claimRef") or {}
    return volume if present.get("uid") == uid_of(claim) else reserved(volume, claim)


def claim_status(claim: Object, phase: str, volume: Object | None = None) -> Object:
    """The claim's status in that phase, with what the volume really offers.

    The class of a volume's attributes is told when the claim is bound; from then on its driver tells it.
    """
    before = claim.get("status") or {}
    status = dict(before) | {"phase": phase}
    if phase != "Bound" or volume is None:
        for offered in ("accessModes", "capacity", "currentVolumeAttributesClassName"):
            status.pop(offered, None)
        return status
    status |= {
        "accessModes": volume["spec"].get("accessModes") or [],
        "capacity": volume["spec"].get("capacity") or {},
    }
    attributes = volume["spec"].get("volumeAttributesClassName")
    if attributes and before.get("phase") != "Bound":
        status["currentVolumeAttributesClassName"] = attributes
    return status


@dataclass(frozen=True, slots=True)
class Fate:
    """A volume's phase, and what else is to be done: "" nothing, "delete" it, "free" it from a claim.

    "tell": the claim that it is reserved for wants a volume of another mode.
    """

    phase: str
    action: str = ""


def decide_volume(volume: Object, claim: Object | None) -> Fate:
    """What becomes of a volume; `claim` is the one that its `claimRef` names, if that is there."""
    reference = volume["spec"].get("claimRef")
    if not reference or not reference.get("uid"):
        return Fate("Available")
    if claim is None or uid_of(claim) != reference["uid"]:
        return Fate("Released", "delete" if _deletes(volume) else "")
    holds = claim["spec"].get("volumeName") or ""
    if not holds:
        alike = mode_of(claim) == mode_of(volume)
        return Fate((volume.get("status") or {}).get("phase") or "Available", "" if alike else "tell")
    if holds == name_of(volume):
        return Fate("Bound")
    if PROVISIONED_BY in annotations_of(volume) and _deletes(volume):
        return Fate("Released", "delete")
    return Fate("Available", "free")


def freed_volume(volume: Object) -> Object:
    """The volume without its claim; of a reservation made by hand only the UID goes."""
    changed = copy(volume)
    if annotations_of(volume).get(BOUND_BY_CONTROLLER):
        changed["spec"].pop("claimRef")
        changed["metadata"]["annotations"].pop(BOUND_BY_CONTROLLER)
    else:
        changed["spec"]["claimRef"].pop("uid", None)
    return changed


def _deletes(volume: Object) -> bool:
    return bool(volume["spec"].get("persistentVolumeReclaimPolicy") == "Delete")


def local_volume(claim: Object, storage_class: Object, node: Object) -> Object:
    """A directory on the node as a volume for the claim, which the kubelet makes when it is first mounted."""
    name = f"pvc-{uid_of(claim)}"
    hostname = labels_of(node).get("kubernetes.io/hostname") or name_of(node)
    where = {"key": "kubernetes.io/hostname", "operator": "In", "values": [hostname]}
    directory = (storage_class.get("parameters") or {}).get("nodePath") or LOCAL_DIRECTORY
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name, "annotations": {PROVISIONED_BY: LOCAL_PATH}, "finalizers": [FINALIZER]},
        "spec": {
            "capacity": {"storage": claim["spec"]["resources"]["requests"]["storage"]},
            "accessModes": claim["spec"].get("accessModes") or [],
            "volumeMode": claim["spec"].get("volumeMode") or "Filesystem",
            "persistentVolumeReclaimPolicy": storage_class.get("reclaimPolicy") or "Delete",
            "storageClassName": name_of(storage_class),
            "hostPath": {"path": f"{directory}/{name}", "type": "DirectoryOrCreate"},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [where]}]}},
            "claimRef": {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "namespace": namespace_of(claim),
                "name": name_of(claim),
                "uid": uid_of(claim),
            },
        },
    }


def consumer_of(claim: Object, pods: Iterable[Object], uses: Callable[[Object], Iterable[str]]) -> str:
    """The name of a pod that waits for the claim, "" if none does."""
    key = f"{namespace_of(claim)}/{name_of(claim)}"
    return next((name_of(pod) for pod in pods if not pod["spec"].get("nodeName") and key in uses(pod)), "")
