"""Where a pod's claims let it run, and what it is told where they do not."""

from __future__ import annotations

from typing import Any

import pytest
from scheduler_objects import decide, make_node, make_pod, make_snapshot

from api.volumes import BIND_COMPLETED, SELECTED_NODE
from control.scheduler.pod import PodInfo
from control.scheduler.snapshot import Snapshot

pytestmark = pytest.mark.unit

NODES = ["a", "b", "c"]


def make_class(name: str, provisioner: str = "kubernetes.io/no-provisioner", **fields: Any) -> dict[str, Any]:
    """A class of which claims wait for their pod."""
    return {
        "metadata": {"name": name},
        "provisioner": provisioner,
        "volumeBindingMode": "WaitForFirstConsumer",
    } | fields


def make_claim(name: str, storage_class: str = "local", volume: str = "", **fields: Any) -> dict[str, Any]:
    """A claim of 1Gi; bound if it names a volume."""
    annotations = fields.pop("annotations", {}) | ({BIND_COMPLETED: "yes"} if volume else {})
    metadata = {"namespace": "default", "name": name, "uid": name, "annotations": annotations}
    spec = {
        "storageClassName": storage_class,
        "accessModes": fields.pop("modes", ["ReadWriteOnce"]),
        "resources": {"requests": {"storage": "1Gi"}},
    }
    return {"metadata": metadata | fields, "spec": spec | ({"volumeName": volume} if volume else {})}


def make_volume(name: str, node: str, size: str = "1Gi", **spec: Any) -> dict[str, Any]:
    """A free local volume on a node."""
    where = {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}]}
    fields = {
        "capacity": {"storage": size},
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": "local",
        "nodeAffinity": {"required": {"nodeSelectorTerms": [where]}},
    }
    return {"metadata": {"name": name, "uid": name}, "spec": fields | spec, "status": {"phase": "Available"}}


def with_claims(name: str, *claims: str) -> PodInfo:
    volumes = [{"name": claim, "persistentVolumeClaim": {"claimName": claim}} for claim in claims]
    return make_pod(name, volumes=volumes)


def cluster(claims: list[Any], volumes: list[Any], classes: list[Any], placed: Any = None) -> Snapshot:
    snapshot = make_snapshot([make_node(name) for name in NODES], placed)
    for claim in claims:
        snapshot.volumes.set_claim(None, claim)
    for volume in volumes:
        snapshot.volumes.set_volume(None, volume)
    for one in classes:
        snapshot.volumes.set_class(None, one)
    return snapshot


LOCAL = make_class("local")
MADE = make_class("made", "example.com/disks")
IMMEDIATE = make_class("now", "example.com/disks", volumeBindingMode="Immediate")
NO_NODE = "0/3 nodes are available: "

# name: (claims, volumes, classes, the pod's claims, the nodes it may go to or the reason why none)
CASES: dict[str, tuple[list[Any], list[Any], list[Any], list[str], set[str] | str]] = {
    "a bound claim leads to its volume": (
        [make_claim("x", volume="v")],
        [make_volume("v", "b")],
        [LOCAL],
        ["x"],
        {"b"},
    ),
    "two bound claims on two nodes leave none": (
        [make_claim("x", volume="v"), make_claim("y", volume="w")],
        [make_volume("v", "a"), make_volume("w", "b")],
        [LOCAL],
        ["x", "y"],
        NO_NODE + "3 node(s) didn't match PersistentVolume's node affinity.",
    ),
    "a claim that waits goes where there is a volume": (
        [make_claim("x")],
        [make_volume("v", "b"), make_volume("w", "c", "512Mi")],
        [LOCAL],
        ["x"],
        {"b"},
    ),
    "two claims need two volumes on one node": (
        [make_claim("x"), make_claim("y")],
        [make_volume("v", "a"), make_volume("w", "b"), make_volume("u", "b")],
        [LOCAL],
        ["x", "y"],
        {"b"},
    ),
    "a volume reserved for another is none": (
        [make_claim("x")],
        [make_volume("v", "a", claimRef={"namespace": "default", "name": "other"})],
        [LOCAL],
        ["x"],
        NO_NODE + "3 node(s) didn't find available persistent volumes to bind.",
    ),
    "a volume reserved for the claim is": (
        [make_claim("x")],
        [make_volume("v", "a", claimRef={"namespace": "default", "name": "x"})],
        [LOCAL],
        ["x"],
        {"a"},
    ),
    "a volume can be made anywhere": ([make_claim("x", "made")], [], [MADE], ["x"], {"a", "b", "c"}),
    "but not outside the class's topology": (
        [make_claim("x", "made")],
        [],
        [
            MADE
            | {
                "allowedTopologies": [
                    {"matchLabelExpressions": [{"key": "kubernetes.io/hostname", "values": ["a", "c"]}]}
                ]
            }
        ],
        ["x"],
        {"a", "c"},
    ),
    "and only where it is being made already": (
        [make_claim("x", "made", annotations={SELECTED_NODE: "c"})],
        [],
        [MADE],
        ["x"],
        {"c"},
    ),
    "an unbound claim of another class must be bound first": (
        [make_claim("x", "now")],
        [],
        [IMMEDIATE],
        ["x"],
        NO_NODE + "pod has unbound immediate PersistentVolumeClaims.",
    ),
    "a claim must be there": ([], [], [], ["x"], NO_NODE + 'persistentvolumeclaim "x" not found.'),
    "and stay": (
        [make_claim("x", volume="v", deletionTimestamp="2026-01-01T00:00:00Z")],
        [],
        [],
        ["x"],
        NO_NODE + 'persistentvolumeclaim "x" is being deleted.',
    ),
    "what is wrong with any claim comes before where the others are": (
        [make_claim("x", volume="gone")],
        [],
        [],
        ["x", "y"],
        NO_NODE + 'persistentvolumeclaim "y" not found.',
    ),
    "a node that is wrong for one claim and has nothing for another says both, once": (
        [make_claim("x", volume="v"), make_claim("y", volume="w"), make_claim("z")],
        [make_volume("v", "nowhere"), make_volume("w", "nowhere")],
        [LOCAL],
        ["x", "y", "z"],
        NO_NODE + "3 node(s) didn't find available persistent volumes to bind,"
        " 3 node(s) didn't match PersistentVolume's node affinity.",
    ),
    "so must its volume": (
        [make_claim("x", volume="v")],
        [],
        [],
        ["x"],
        NO_NODE + "3 node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s).",
    ),
}


@pytest.mark.parametrize(("claims", "volumes", "classes", "wanted", "expected"), CASES.values(), ids=CASES)
def test_where_claims_let_a_pod_run(
    claims: list[Any], volumes: list[Any], classes: list[Any], wanted: list[str], expected: set[str] | str
) -> None:
    decisions = [decide(with_claims("p", *wanted), cluster(claims, volumes, classes), seed=seed) for seed in range(12)]
    if isinstance(expected, str):
        assert decisions[0].reason == expected
    else:
        assert {one.node for one in decisions} == expected


def test_a_picked_volume_is_offered_to_no_other_pod() -> None:
    snapshot = cluster([make_claim("x"), make_claim("y")], [make_volume("v", "b")], [LOCAL])
    node = snapshot.node("b")
    assert node is not None
    bindings = snapshot.volumes.reserve(with_claims("p", "x"), node)
    assert [volume["metadata"]["name"] for _, volume in bindings.static] == ["v"]
    assert decide(with_claims("q", "y"), snapshot).node == ""
    snapshot.volumes.release(bindings)
    assert decide(with_claims("q", "y"), snapshot).node == "b"


def test_a_claim_for_one_pod_admits_no_second() -> None:
    claim = make_claim("x", volume="v", modes=["ReadWriteOncePod"])
    everywhere = make_volume("v", "a") | {}
    everywhere["spec"].pop("nodeAffinity")
    snapshot = cluster([claim], [everywhere], [LOCAL], {"a": [with_claims("first", "x")]})
    reason = "node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode"
    decision = decide(with_claims("second", "x"), snapshot)
    assert decision.reason == f"0/3 nodes are available: 3 {reason}."
    assert decision.resolvable == ("a",)


def test_an_ephemeral_volume_waits_for_its_own_claim() -> None:
    pod = make_pod("p", volumes=[{"name": "scratch", "ephemeral": {"volumeClaimTemplate": {}}}])
    assert pod.claims == ("default/p-scratch",)
    missing = 'waiting for ephemeral volume controller to create the persistentvolumeclaim "p-scratch"'
    assert decide(pod, cluster([], [], [])).reason == f"{NO_NODE}{missing}."
    foreign = cluster([make_claim("p-scratch", "made")], [], [MADE])
    owner = "PVC default/p-scratch was not created for pod default/p (pod is not owner)"
    assert decide(pod, foreign).reason == f"{NO_NODE}{owner}."
    reference = {"uid": "p", "controller": True, "kind": "Pod", "name": "p"}
    own = cluster([make_claim("p-scratch", "made", ownerReferences=[reference])], [], [MADE])
    assert decide(pod, own).node


ZONE, OLD_ZONE = "topology.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/zone"
ELSEWHERE = "0/1 nodes are available: 1 node(s) had no available volume zone."


@pytest.mark.parametrize(
    ("volume", "node", "expected"),
    [
        ({ZONE: "z1"}, {ZONE: "z1"}, "a"),
        ({ZONE: "z1"}, {ZONE: "z2"}, ELSEWHERE),
        ({ZONE: "z1__z2"}, {ZONE: "z2"}, "a"),
        ({OLD_ZONE: "z1"}, {ZONE: "z2"}, ELSEWHERE),
        ({OLD_ZONE: "z1"}, {ZONE: "z1"}, "a"),
        ({ZONE: "z1"}, {}, "a"),
        ({ZONE: "z1"}, {"topology.kubernetes.io/region": "r"}, ELSEWHERE),
    ],
)
def test_a_volume_is_reached_from_its_zone(volume: dict[str, str], node: dict[str, str], expected: str) -> None:
    snapshot = make_snapshot([make_node("a", labels=node)])
    snapshot.volumes.set_claim(None, make_claim("x", volume="v"))
    made = make_volume("v", "a")
    made["metadata"]["labels"] = volume
    snapshot.volumes.set_volume(None, made)
    found = decide(with_claims("p", "x"), snapshot)
    assert (found.node or found.reason) == expected


@pytest.mark.parametrize(
    ("claims", "expected"),
    [
        (["x"], "0/1 nodes are available: 1 node(s) exceed max volume count."),
        (["w"], "a"),
        (["other"], "a"),
    ],
)
def test_a_node_takes_as_many_volumes_of_a_driver_as_that_says(claims: list[str], expected: str) -> None:
    snapshot = make_snapshot([make_node("a")], {"a": [with_claims("there", "w")]})
    for name, driver in (("w", "csi.example.com"), ("x", "csi.example.com"), ("other", "another.example.com")):
        snapshot.volumes.set_claim(None, make_claim(name, volume=f"v-{name}"))
        source = {"driver": driver, "volumeHandle": name}
        snapshot.volumes.set_volume(None, make_volume(f"v-{name}", "a", csi=source))
    drivers = [{"name": "csi.example.com", "allocatable": {"count": 1}}, {"name": "another.example.com"}]
    snapshot.volumes.set_csi_node(None, {"metadata": {"name": "a"}, "spec": {"drivers": drivers}})
    found = decide(with_claims("p", *claims), snapshot)
    assert (found.node or found.reason) == expected


GCE, EBS = {"gcePersistentDisk": {"pdName": "d"}}, {"awsElasticBlockStore": {"volumeID": "d"}}
ISCSI, RBD = {"iscsi": {"iqn": "d"}}, {"rbd": {"monitors": ["m", "n"], "pool": "p", "image": "d"}}


def reading(volume: dict[str, dict[str, Any]], **other: Any) -> dict[str, dict[str, Any]]:
    return {kind: source | {"readOnly": True} | other for kind, source in volume.items()}


@pytest.mark.parametrize(
    ("there", "asked", "fits"),
    [
        (GCE, GCE, False),
        (GCE, reading(GCE), False),
        (reading(GCE), reading(GCE), True),
        (GCE, {"gcePersistentDisk": {"pdName": "e"}}, True),
        (EBS, EBS, False),
        (EBS, GCE, True),
        (ISCSI, ISCSI, False),
        (reading(ISCSI), reading(ISCSI), True),
        (RBD, RBD, False),
        (RBD, reading(RBD, monitors=["n", "o"]), False),
        (RBD, reading(RBD, monitors=["o"]), True),
        (RBD, reading(RBD, pool="q"), True),
        (reading(RBD), reading(RBD, monitors=["n"]), True),
    ],
)
def test_a_disk_is_written_by_one_pod_of_a_node(there: Any, asked: Any, fits: bool) -> None:
    placed = {"a": [make_pod("there", volumes=[{"name": "v"} | there])]}
    decision = decide(make_pod("p", volumes=[{"name": "v"} | asked]), make_snapshot([make_node("a")], placed))
    assert decision.node == ("a" if fits else "")
    assert fits or decision.reason == "0/1 nodes are available: 1 node(s) had no available disk."
