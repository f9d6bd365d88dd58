"""What becomes of claims and volumes: one row a case."""

from __future__ import annotations

from typing import Any

import pytest
from controller_objects import meta

from api.volumes import BIND_COMPLETED, BOUND_BY_CONTROLLER, PROVISIONED_BY, SELECTED_NODE
from control.controllers import ephemeral_volumes
from control.controllers import volume_rules as rules
from control.controllers.volume_rules import Bind, Fate, Lose, Pend, Provision

pytestmark = pytest.mark.unit


def claim(
    name: str = "c", volume: str = "", *, bound: bool = False, storage_class: str = "", **annotations: str
) -> Any:
    """A claim of 2Gi."""
    notes = dict(annotations) | ({BIND_COMPLETED: "yes"} if bound else {})
    spec: dict[str, Any] = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "2Gi"}}}
    spec |= {"storageClassName": storage_class} | ({"volumeName": volume} if volume else {})
    return {"metadata": meta(name, annotations=notes), "spec": spec}


def volume(name: str = "v", size: str = "2Gi", holder: Any = None, **fields: Any) -> Any:
    """A free volume, or one that names the claim `holder`."""
    spec = {"capacity": {"storage": size}, "accessModes": ["ReadWriteOnce", "ReadOnlyMany"]} | fields.get("spec", {})
    if holder is not None:
        spec["claimRef"] = {"namespace": "default"} | holder
    return {
        "metadata": {"name": name, "annotations": fields.get("annotations", {}), "labels": fields.get("labels", {})},
        "spec": spec,
        "status": {"phase": fields.get("phase", "Available")},
    }


LATER = {"metadata": {"name": "later"}, "provisioner": "x", "volumeBindingMode": "WaitForFirstConsumer"}
NOW_ONE = {"metadata": {"name": "now"}, "provisioner": "x", "volumeBindingMode": "Immediate"}
NONE = Pend("Normal", "FailedBinding", "no persistent volumes available for this claim and no storage class is set")


def mismatch(name: str, why: str) -> Pend:
    return Pend("Warning", "VolumeMismatch", f'Cannot bind to requested volume "{name}": {why}')


FREE, SMALL, LARGE = volume(), volume("small", "1Gi"), volume("large", "9Gi")
HELD, OWN = volume("held", holder={"name": "c", "uid": "other"}), volume("own", "5Gi", holder={"name": "c"})

CLAIMS: dict[str, tuple[Any, list[Any], Any, Any, str, Any]] = {
    "the smallest that is large enough": (claim(), [LARGE, FREE, SMALL], None, None, "", Bind(FREE)),
    "one reserved for it comes first": (claim(), [FREE, OWN], None, None, "", Bind(OWN)),
    "one of a former claim of that name is not its own": (claim(), [HELD], None, None, "", NONE),
    "a small one does not do": (claim(), [SMALL], None, None, "", NONE),
    "one of a class does not do for a claim of none": (
        claim(),
        [volume(spec={"storageClassName": "gold"})],
        None,
        None,
        "",
        NONE,
    ),
    "all access modes are needed": (claim(), [volume(spec={"accessModes": ["ReadOnlyMany"]})], None, None, "", NONE),
    "a block device is no file system": (claim(), [volume(spec={"volumeMode": "Block"})], None, None, "", NONE),
    "a released one is not free": (claim(), [volume(phase="Released")], None, None, "", NONE),
    "none: one is made": (claim(storage_class="now"), [], NOW_ONE, None, "", Provision(NOW_ONE)),
    "nobody makes one of this class": (
        claim(storage_class="now"),
        [],
        NOW_ONE | {"provisioner": "kubernetes.io/no-provisioner"},
        None,
        "",
        Pend("Warning", "ProvisioningFailed", "no volume plugin matched name: kubernetes.io/no-provisioner"),
    ),
    "a driver makes what Kubernetes itself once made": (
        claim(storage_class="now"),
        [],
        NOW_ONE | {"provisioner": "kubernetes.io/aws-ebs"},
        None,
        "",
        Provision(NOW_ONE | {"provisioner": "kubernetes.io/aws-ebs"}),
    ),
    "the class is missing": (
        claim(storage_class="gone"),
        [],
        None,
        None,
        "",
        Pend("Warning", "ProvisioningFailed", 'storageclass.storage.k8s.io "gone" not found'),
    ),
    "it waits for a pod": (
        claim(storage_class="later"),
        [volume(spec={"storageClassName": "later"})],
        LATER,
        None,
        "",
        Pend("Normal", "WaitForFirstConsumer", "waiting for first consumer to be created before binding"),
    ),
    "it waits for the pod's place": (
        claim(storage_class="later"),
        [],
        LATER,
        None,
        "p",
        Pend("Normal", "WaitForPodScheduled", "waiting for pod p to be scheduled"),
    ),
    "the pod has its place": (
        claim(storage_class="later", **{SELECTED_NODE: "n"}),
        [],
        LATER,
        None,
        "",
        Provision(LATER),
    ),
    "the scheduler picked a volume": (
        claim(storage_class="later"),
        [volume(spec={"storageClassName": "later"}, holder={"name": "c", "uid": "c"})],
        LATER,
        None,
        "p",
        Bind(volume(spec={"storageClassName": "later"}, holder={"name": "c", "uid": "c"})),
    ),
    "it names a free volume": (claim(volume="v"), [], None, FREE, "", Bind(FREE)),
    "it names one that is too small": (
        claim(volume="small"),
        [],
        None,
        SMALL,
        "",
        mismatch("small", "requested PV is too small"),
    ),
    "it names one of another class": (
        claim(volume="v"),
        [],
        None,
        volume(spec={"storageClassName": "gold"}),
        "",
        mismatch("v", "storageClassName does not match"),
    ),
    "it names a block device": (
        claim(volume="v"),
        [],
        None,
        volume(spec={"volumeMode": "Block"}),
        "",
        mismatch("v", "incompatible volumeMode"),
    ),
    "it names one that cannot be written": (
        claim(volume="v"),
        [],
        None,
        volume(spec={"accessModes": ["ReadOnlyMany"]}),
        "",
        mismatch("v", "incompatible accessMode"),
    ),
    "it names a small one that is reserved for it": (
        claim(volume="s"),
        [],
        None,
        volume("s", "1Gi", holder={"name": "c"}),
        "",
        Bind(volume("s", "1Gi", holder={"name": "c"})),
    ),
    "it has forgotten its volume's name": (
        claim(bound=True),
        [],
        None,
        None,
        "",
        Lose("ClaimLost", "Bound claim has lost reference to PersistentVolume. Data on the volume is lost!"),
    ),
    "it names one that is not there": (claim(volume="v"), [], None, None, "", Pend()),
    "it names another's": (
        claim(volume="held"),
        [],
        None,
        HELD,
        "",
        Pend("Warning", "FailedBinding", 'volume "held" already bound to a different claim.'),
    ),
    "its volume is gone": (
        claim(volume="v", bound=True),
        [],
        None,
        None,
        "",
        Lose("ClaimLost", "Bound claim has lost its PersistentVolume. Data on the volume is lost!"),
    ),
    "its volume was given away": (
        claim(volume="held", bound=True),
        [],
        None,
        HELD,
        "",
        Lose("ClaimMisbound", "Two claims are bound to the same volume, this one is bound incorrectly"),
    ),
}


@pytest.mark.parametrize(("found", "volumes", "storage", "named", "consumer", "step"), CLAIMS.values(), ids=CLAIMS)
def test_what_becomes_of_a_claim(
    found: Any, volumes: list[Any], storage: Any, named: Any, consumer: str, step: Any
) -> None:
    assert rules.decide_claim(found, volumes, storage, named, consumer) == step


@pytest.mark.parametrize(
    ("before", "phase", "after"),
    [
        ({}, "Bound", "gold"),
        ({"phase": "Pending", "currentVolumeAttributesClassName": "old"}, "Bound", "gold"),
        ({"phase": "Bound", "currentVolumeAttributesClassName": "silver"}, "Bound", "silver"),
        ({"phase": "Bound"}, "Bound", None),
        ({"phase": "Bound", "currentVolumeAttributesClassName": "gold"}, "Lost", None),
    ],
)
def test_the_class_of_a_volumes_attributes_is_told_once_as_it_is_bound(before: Any, phase: str, after: Any) -> None:
    held = {"spec": {"volumeAttributesClassName": "gold"}}
    assert rules.claim_status({"status": before}, phase, held).get("currentVolumeAttributesClassName") == after


DELETE = {"persistentVolumeReclaimPolicy": "Delete"}
OURS = {"name": "c", "uid": "c"}


@pytest.mark.parametrize(
    ("found", "holder", "fate"),
    [
        (volume(), None, Fate("Available")),
        (volume(holder={"name": "c"}), None, Fate("Available")),
        (volume(holder=OURS), claim(volume="v"), Fate("Bound")),
        (volume(holder=OURS), claim(), Fate("Available")),
        (volume(holder=OURS, spec={"volumeMode": "Block"}), claim(), Fate("Available", "tell")),
        (volume(holder=OURS), None, Fate("Released")),
        (volume(holder={"name": "c", "uid": "former"}), claim(volume="v"), Fate("Released")),
        (volume(holder=OURS, spec=DELETE), None, Fate("Released", "delete")),
        (volume(holder=OURS), claim(volume="w"), Fate("Available", "free")),
        (
            volume(holder=OURS, spec=DELETE, annotations={PROVISIONED_BY: "x"}),
            claim(volume="w"),
            Fate("Released", "delete"),
        ),
    ],
)
def test_what_becomes_of_a_volume(found: Any, holder: Any, fate: Fate) -> None:
    assert rules.decide_volume(found, holder) == fate


def test_a_binding_made_here_can_be_told_from_one_made_by_hand() -> None:
    ours, by_hand = rules.bound_volume(volume(), claim()), rules.bound_volume(OWN, claim())
    assert ours["metadata"]["annotations"][BOUND_BY_CONTROLLER] == "yes"
    assert BOUND_BY_CONTROLLER not in by_hand["metadata"]["annotations"]
    assert by_hand["spec"]["claimRef"]["uid"] == "c"
    assert "claimRef" not in rules.freed_volume(ours)["spec"]
    assert rules.freed_volume(by_hand)["spec"]["claimRef"].get("uid") is None


def test_a_directory_on_the_chosen_node_becomes_the_claims_volume() -> None:
    node = {"metadata": {"name": "n", "labels": {"kubernetes.io/hostname": "host"}}}
    made = rules.local_volume(claim(storage_class="later"), LATER, node)
    assert made["metadata"]["name"] == "pvc-c"
    assert made["spec"]["hostPath"] == {"path": "/var/lib/wherry/volumes/pvc-c", "type": "DirectoryOrCreate"}
    (term,) = made["spec"]["nodeAffinity"]["required"]["nodeSelectorTerms"]
    assert term["matchExpressions"][0]["values"] == ["host"]
    assert rules.decide_volume(made, claim(volume="pvc-c")) == Fate("Bound")


def test_an_ephemeral_claim_goes_with_its_pod() -> None:
    pod = {"metadata": meta("p"), "spec": {}}
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"accessModes": ["ReadWriteOnce"]}}
    made = ephemeral_volumes.claim_for(pod, {"name": "scratch", "ephemeral": {"volumeClaimTemplate": template}})
    assert (made["metadata"]["name"], made["metadata"]["labels"]) == ("p-scratch", {"a": "b"})
    assert made["metadata"]["ownerReferences"][0]["uid"] == "p"
