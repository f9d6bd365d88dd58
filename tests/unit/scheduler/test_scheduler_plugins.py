"""Which nodes a pod may go to, and what it is told where it may not: one row a rule."""

from __future__ import annotations

from typing import Any

import pytest
from scheduler_objects import decide, make_node, make_pod, make_snapshot

from control.scheduler.plugins.balanced_allocation import BalancedAllocation

pytestmark = pytest.mark.unit

TAINT = {"key": "gpu", "value": "yes", "effect": "NoSchedule"}
SOFT = {"key": "gpu", "value": "yes", "effect": "PreferNoSchedule"}
ZONE = "topology.kubernetes.io/zone"
HOST = "kubernetes.io/hostname"
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"


BIG = {"names": ["big:1"], "sizeBytes": 900 * 1024 * 1024}
COMMON = {"names": ["common:1"], "sizeBytes": 300 * 1024 * 1024}


OF_A_TEAM = {"matchLabels": {"team": "a"}}


def zone(name: str) -> dict[str, str]:
    return {ZONE: name}


def node_terms(*expressions: dict[str, Any]) -> dict[str, Any]:
    return {"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": [{"matchExpressions": list(expressions)}]}}}


def pod_term(kind: str, labels: dict[str, str], key: str, **more: Any) -> dict[str, Any]:
    return {kind: {REQUIRED: [{"labelSelector": {"matchLabels": labels}, "topologyKey": key} | more]}}


def spread(key: str, skew: int = 1, **more: Any) -> list[dict[str, Any]]:
    selector = {"matchLabels": {"app": "web"}}
    hard = {"maxSkew": skew, "topologyKey": key, "whenUnsatisfiable": "DoNotSchedule", "labelSelector": selector}
    return [hard | more]


# name: (nodes, pods placed on them, the pod, the nodes it may go to or the reason why none)
CASES: dict[str, tuple[list[Any], dict[str, list[Any]], Any, set[str] | str]] = {
    "no node at all": ([], {}, make_pod("p"), "no nodes available to schedule pods"),
    "cpu is left on one node only": (
        [make_node("a"), make_node("b")],
        {"a": [make_pod("x", requests={"cpu": "3500m"})]},
        make_pod("p", requests={"cpu": "1"}),
        {"b"},
    ),
    "exactly what is left fits": (
        [make_node("a")],
        {"a": [make_pod("x", requests={"cpu": "3"})]},
        make_pod("p", requests={"cpu": "1"}),
        {"a"},
    ),
    "every missing resource is named": (
        [make_node("a")],
        {},
        make_pod("p", requests={"cpu": "5", "memory": "9Gi", "example.com/gpu": "1"}),
        "0/1 nodes are available: 1 Insufficient cpu, 1 Insufficient example.com/gpu, 1 Insufficient memory.",
    ),
    "the number of pods is a resource": (
        [make_node("a", allocatable={"pods": "1"})],
        {"a": [make_pod("x")]},
        make_pod("p"),
        "0/1 nodes are available: 1 Too many pods.",
    ),
    "a limit without a request is a request": (
        [make_node("a")],
        {},
        make_pod("p", containers=[{"name": "c", "resources": {"limits": {"cpu": "5"}}}]),
        "0/1 nodes are available: 1 Insufficient cpu.",
    ),
    "an init container's peak counts, not its sum": (
        [make_node("a")],
        {},
        make_pod("p", requests={"cpu": "2"}, initContainers=[{"resources": {"requests": {"cpu": "4"}}}]),
        {"a"},
    ),
    "a sidecar runs beside the containers": (
        [make_node("a")],
        {},
        make_pod(
            "p",
            requests={"cpu": "2"},
            initContainers=[{"restartPolicy": "Always", "resources": {"requests": {"cpu": "3"}}}],
        ),
        "0/1 nodes are available: 1 Insufficient cpu.",
    ),
    "overhead is added": (
        [make_node("a")],
        {},
        make_pod("p", requests={"cpu": "4"}, overhead={"cpu": "1m"}),
        "0/1 nodes are available: 1 Insufficient cpu.",
    ),
    "ephemeral storage is a resource": (
        [make_node("a", allocatable={"ephemeral-storage": "1Gi"}), make_node("b")],
        {},
        make_pod("p", requests={"ephemeral-storage": "2Gi"}),
        "0/2 nodes are available: 2 Insufficient ephemeral-storage.",
    ),
    "an extended resource is free where nobody has it": (
        [make_node(name, allocatable={"example.com/card": "1"}) for name in "ab"],
        {"a": [make_pod("x", requests={"example.com/card": "1"})]},
        make_pod("p", requests={"example.com/card": "1"}),
        {"b"},
    ),
    "a pod that names its node": (
        [make_node("a"), make_node("b", unschedulable=True)],
        {},
        make_pod("p", nodeName="b"),
        "0/2 nodes are available: 1 node(s) didn't match the requested node name, 1 node(s) were unschedulable.",
    ),
    "a taint keeps strangers away": (
        [make_node("a", taints=[TAINT]), make_node("b", taints=[TAINT])],
        {},
        make_pod("p"),
        "0/2 nodes are available: 2 node(s) had untolerated taint {gpu: yes}.",
    ),
    "a taint is tolerated by value": (
        [make_node("a", taints=[TAINT])],
        {},
        make_pod("p", tolerations=[{"key": "gpu", "operator": "Equal", "value": "yes", "effect": "NoSchedule"}]),
        {"a"},
    ),
    "a toleration of another value does not help": (
        [make_node("a", taints=[TAINT])],
        {},
        make_pod("p", tolerations=[{"key": "gpu", "value": "no"}]),
        "0/1 nodes are available: 1 node(s) had untolerated taint {gpu: yes}.",
    ),
    "an empty key with Exists tolerates all": (
        [make_node("a", taints=[TAINT])],
        {},
        make_pod("p", tolerations=[{"operator": "Exists"}]),
        {"a"},
    ),
    "PreferNoSchedule only makes a node second choice": (
        [make_node("a", taints=[SOFT]), make_node("b")],
        {},
        make_pod("p"),
        {"b"},
    ),
    "a taint above the tolerated bound": (
        [make_node("a", taints=[{"key": "risk", "value": "7", "effect": "NoSchedule"}])],
        {},
        make_pod("p", tolerations=[{"key": "risk", "operator": "Lt", "value": "7"}]),
        "0/1 nodes are available: 1 node(s) had untolerated taint {risk: 7}.",
    ),
    "a cordoned node takes nobody": (
        [make_node("a", unschedulable=True)],
        {},
        make_pod("p"),
        "0/1 nodes are available: 1 node(s) were unschedulable.",
    ),
    "claimed devices are allocated by nobody": (
        [make_node("a")],
        {},
        make_pod("p", resourceClaims=[{"name": "gpu", "resourceClaimName": "mine"}]),
        "0/1 nodes are available: 1 the scheduler of this cluster allocates no devices to resource claims.",
    ),
    "a cordoned node takes who tolerates it": (
        [make_node("a", unschedulable=True)],
        {},
        make_pod("p", tolerations=[{"key": "node.kubernetes.io/unschedulable", "operator": "Exists"}]),
        {"a"},
    ),
    "nodeSelector": (
        [make_node("a", labels={"disk": "ssd"}), make_node("b")],
        {},
        make_pod("p", nodeSelector={"disk": "ssd"}),
        {"a"},
    ),
    "node affinity NotIn also matches nodes without the label": (
        [make_node("a", labels={"disk": "ssd"}), make_node("b")],
        {},
        make_pod("p", affinity=node_terms({"key": "disk", "operator": "NotIn", "values": ["ssd"]})),
        {"b"},
    ),
    "node affinity Gt compares numbers": (
        [make_node("a", labels={"cores": "16"}), make_node("b", labels={"cores": "9"})],
        {},
        make_pod("p", affinity=node_terms({"key": "cores", "operator": "Gt", "values": ["10"]})),
        {"a"},
    ),
    "node affinity by name": (
        [make_node("a"), make_node("b")],
        {},
        make_pod(
            "p",
            affinity={
                "nodeAffinity": {
                    REQUIRED: {
                        "nodeSelectorTerms": [
                            {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["b"]}]}
                        ]
                    }
                }
            },
        ),
        {"b"},
    ),
    "no node matches the selector": (
        [make_node("a")],
        {},
        make_pod("p", nodeSelector={"disk": "ssd"}),
        "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector.",
    ),
    "a term with a value that no label can have is void, though it says NotIn": (
        [make_node("a")],
        {},
        make_pod("p", affinity=node_terms({"key": "disk", "operator": "NotIn", "values": ["{{.no-value.}}"]})),
        "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector.",
    ),
    "preferred node affinity outweighs": (
        [make_node("a", labels={"disk": "ssd"}), make_node("b")],
        {},
        make_pod(
            "p",
            affinity={
                "nodeAffinity": {
                    PREFERRED: [
                        {
                            "weight": 1,
                            "preference": {"matchExpressions": [{"key": "disk", "operator": "In", "values": ["ssd"]}]},
                        }
                    ]
                }
            },
        ),
        {"a"},
    ),
    "a host port is taken": (
        [make_node("a"), make_node("b")],
        {"a": [make_pod("x", ports=[{"hostPort": 80, "containerPort": 80}])]},
        make_pod("p", ports=[{"hostPort": 80, "containerPort": 8080}]),
        {"b"},
    ),
    "the same host port of another protocol is free": (
        [make_node("a")],
        {"a": [make_pod("x", ports=[{"hostPort": 53, "containerPort": 53, "protocol": "UDP"}])]},
        make_pod("p", ports=[{"hostPort": 53, "containerPort": 53, "protocol": "TCP"}]),
        {"a"},
    ),
    "a port on one address meets a port on all": (
        [make_node("a")],
        {"a": [make_pod("x", ports=[{"hostPort": 80, "containerPort": 80, "hostIP": "10.0.0.1"}])]},
        make_pod("p", ports=[{"hostPort": 80, "containerPort": 80}]),
        "0/1 nodes are available: 1 node(s) didn't have free ports for the requested pod ports.",
    ),
    "affinity follows a running pod into its zone": (
        [make_node("a", labels=zone("1")), make_node("b", labels=zone("1")), make_node("c", labels=zone("2"))],
        {"a": [make_pod("x", labels={"app": "db"}, requests={"cpu": "3"})]},
        make_pod("p", affinity=pod_term("podAffinity", {"app": "db"}, ZONE), requests={"cpu": "2"}),
        {"b"},
    ),
    "affinity to nobody": (
        [make_node("a", labels=zone("1"))],
        {},
        make_pod("p", affinity=pod_term("podAffinity", {"app": "db"}, ZONE)),
        "0/1 nodes are available: 1 node(s) didn't match pod affinity rules.",
    ),
    "the first of a group that wants itself goes anywhere": (
        [make_node("a", labels=zone("1"))],
        {},
        make_pod("p", labels={"app": "db"}, affinity=pod_term("podAffinity", {"app": "db"}, ZONE)),
        {"a"},
    ),
    "one of the group that is in no domain does not count as the first": (
        [make_node("a", labels=zone("1")), make_node("b", unschedulable=True)],
        {"b": [make_pod("x", labels={"app": "db"})]},
        make_pod("p", labels={"app": "db"}, affinity=pod_term("podAffinity", {"app": "db"}, ZONE)),
        {"a"},
    ),
    "affinity terms hold together of one pod": (
        [make_node("a", labels=zone("1")), make_node("b", labels=zone("2"))],
        {
            "a": [make_pod("x", labels={"app": "db"}), make_pod("y", labels={"tier": "back"})],
            "b": [make_pod("z", labels={"app": "db", "tier": "back"})],
        },
        make_pod(
            "p",
            affinity={
                "podAffinity": {
                    REQUIRED: [
                        {"labelSelector": {"matchLabels": one}, "topologyKey": ZONE}
                        for one in ({"app": "db"}, {"tier": "back"})
                    ]
                }
            },
        ),
        {"b"},
    ),
    "affinity looks into its own namespace only": (
        [make_node("a", labels=zone("1"))],
        {"a": [make_pod("x", labels={"app": "db"}, namespace="other")]},
        make_pod("p", affinity=pod_term("podAffinity", {"app": "db"}, ZONE)),
        "0/1 nodes are available: 1 node(s) didn't match pod affinity rules.",
    ),
    "an empty namespaceSelector means all namespaces": (
        [make_node("a", labels=zone("1"))],
        {"a": [make_pod("x", labels={"app": "db"}, namespace="other")]},
        make_pod("p", affinity=pod_term("podAffinity", {"app": "db"}, ZONE, namespaceSelector={})),
        {"a"},
    ),
    "a namespaceSelector means the namespaces with such labels": (
        [make_node("a", labels=zone("1"))],
        {"a": [make_pod("x", labels={"app": "db"})]},
        make_pod("p", affinity=pod_term("podAffinity", {"app": "db"}, ZONE, namespaceSelector=OF_A_TEAM)),
        "0/1 nodes are available: 1 node(s) didn't match pod affinity rules.",
    ),
    "affinity to pods of the same value": (
        [make_node("a", labels=zone("1")), make_node("b", labels=zone("2"))],
        {
            "a": [make_pod("x", labels={"app": "db", "version": "1"})],
            "b": [make_pod("y", labels={"app": "db", "version": "2"})],
        },
        make_pod(
            "p",
            labels={"version": "2"},
            affinity=pod_term("podAffinity", {"app": "db"}, ZONE, matchLabelKeys=["version", "none"]),
        ),
        {"b"},
    ),
    "away from pods of another value": (
        [make_node("a", labels=zone("1")), make_node("b", labels=zone("2"))],
        {
            "a": [make_pod("x", labels={"app": "db", "tenant": "1"})],
            "b": [make_pod("y", labels={"app": "db", "tenant": "2"})],
        },
        make_pod(
            "p",
            labels={"tenant": "2"},
            affinity=pod_term("podAntiAffinity", {"app": "db"}, ZONE, mismatchLabelKeys=["tenant"]),
        ),
        {"b"},
    ),
    "its own anti-affinity is said as such": (
        [make_node("a", labels=zone("1"))],
        {"a": [make_pod("x", labels={"app": "db"})]},
        make_pod("p", affinity=pod_term("podAntiAffinity", {"app": "db"}, ZONE)),
        "0/1 nodes are available: 1 node(s) didn't match pod anti-affinity rules.",
    ),
    "anti-affinity avoids the whole domain": (
        [make_node("a", labels=zone("1")), make_node("b", labels=zone("1")), make_node("c", labels=zone("2"))],
        {"a": [make_pod("x", labels={"app": "db"})]},
        make_pod("p", affinity=pod_term("podAntiAffinity", {"app": "db"}, ZONE)),
        {"c"},
    ),
    "a running pod's anti-affinity holds against newcomers": (
        [make_node("a", labels=zone("1"))],
        {"a": [make_pod("x", affinity=pod_term("podAntiAffinity", {"app": "web"}, ZONE))]},
        make_pod("p", labels={"app": "web"}),
        "0/1 nodes are available: 1 node(s) didn't satisfy existing pods anti-affinity rules.",
    ),
    "spread fills the emptier zone": (
        [make_node("a", labels=zone("1")), make_node("b", labels=zone("2"))],
        {"a": [make_pod("x", labels={"app": "web"})]},
        make_pod("p", labels={"app": "web"}, topologySpreadConstraints=spread(ZONE)),
        {"b"},
    ),
    "spread does not count pods that are going": (
        [make_node("a", labels=zone("1")), make_node("b", labels=zone("2"), unschedulable=True)],
        {"a": [make_pod("x", labels={"app": "web"}, deleting=True)]},
        make_pod("p", labels={"app": "web"}, topologySpreadConstraints=spread(ZONE)),
        {"a"},
    ),
    "spread blocks when the emptier zone is full": (
        [make_node("a", labels=zone("1")), make_node("b", labels=zone("2"), allocatable={"cpu": "0"})],
        {"a": [make_pod("x", labels={"app": "web"})]},
        make_pod("p", labels={"app": "web"}, requests={"cpu": "1"}, topologySpreadConstraints=spread(ZONE)),
        "0/2 nodes are available: 1 Insufficient cpu, 1 node(s) didn't match pod topology spread constraints.",
    ),
    "spread wants the label": (
        [make_node("a")],
        {},
        make_pod("p", labels={"app": "web"}, topologySpreadConstraints=spread(ZONE)),
        "0/1 nodes are available: 1 node(s) didn't match pod topology spread constraints (missing required label).",
    ),
    "too few domains count as an empty one": (
        [make_node("a", labels=zone("1"))],
        {"a": [make_pod("x", labels={"app": "web"})]},
        make_pod("p", labels={"app": "web"}, topologySpreadConstraints=spread(ZONE, minDomains=2)),
        "0/1 nodes are available: 1 node(s) didn't match pod topology spread constraints.",
    ),
    "spread among the pods of the same revision": (
        [make_node("a", labels=zone("1")), make_node("b", labels=zone("2"))],
        {
            "a": [
                make_pod("x", labels={"app": "web", "hash": "old"}),
                make_pod("y", labels={"app": "web", "hash": "old"}),
            ],
            "b": [make_pod("z", labels={"app": "web", "hash": "new"})],
        },
        make_pod(
            "p",
            labels={"app": "web", "hash": "new"},
            topologySpreadConstraints=spread(ZONE, matchLabelKeys=["hash"]),
        ),
        {"a"},
    ),
    "nodes that the pod does not select are no domains": (
        [make_node("a", labels=zone("1") | {"disk": "ssd"}), make_node("b", labels=zone("2"))],
        {"a": [make_pod("x", labels={"app": "web"})]},
        make_pod("p", labels={"app": "web"}, nodeSelector={"disk": "ssd"}, topologySpreadConstraints=spread(ZONE)),
        {"a"},
    ),
    "unless the policy counts them": (
        [make_node("a", labels=zone("1") | {"disk": "ssd"}), make_node("b", labels=zone("2"))],
        {"a": [make_pod("x", labels={"app": "web"})]},
        make_pod(
            "p",
            labels={"app": "web"},
            nodeSelector={"disk": "ssd"},
            topologySpreadConstraints=spread(ZONE, nodeAffinityPolicy="Ignore"),
        ),
        "0/2 nodes are available: 1 node(s) didn't match Pod's node affinity/selector,"
        " 1 node(s) didn't match pod topology spread constraints.",
    ),
    "nodes that repel the pod are domains": (
        [make_node("a", labels=zone("1")), make_node("b", labels=zone("2"), taints=[TAINT])],
        {"a": [make_pod("x", labels={"app": "web"})]},
        make_pod("p", labels={"app": "web"}, topologySpreadConstraints=spread(ZONE)),
        "0/2 nodes are available: 1 node(s) didn't match pod topology spread constraints,"
        " 1 node(s) had untolerated taint {gpu: yes}.",
    ),
    "unless the policy leaves them out": (
        [make_node("a", labels=zone("1")), make_node("b", labels=zone("2"), taints=[TAINT])],
        {"a": [make_pod("x", labels={"app": "web"})]},
        make_pod("p", labels={"app": "web"}, topologySpreadConstraints=spread(ZONE, nodeTaintsPolicy="Honor")),
        {"a"},
    ),
    "with soft spread a node without the label comes last": (
        [make_node("a", labels=zone("1")), make_node("b", allocatable={"cpu": "400"})],
        {},
        make_pod(
            "p", labels={"app": "web"}, topologySpreadConstraints=spread(ZONE, whenUnsatisfiable="ScheduleAnyway")
        ),
        {"a"},
    ),
    "pods on nodes that lack one of the labels do not count for soft spread": (
        [
            make_node("a", labels=zone("1") | {"rack": "r"}),
            make_node("b", labels=zone("2") | {"rack": "r"}),
            make_node("c", labels=zone("2"), unschedulable=True),
        ],
        {
            "a": [make_pod("x", labels={"app": "web"})],
            "c": [make_pod("y", labels={"app": "web"}), make_pod("z", labels={"app": "web"})],
        },
        make_pod(
            "p",
            labels={"app": "web"},
            topologySpreadConstraints=spread(ZONE, whenUnsatisfiable="ScheduleAnyway")
            + spread("rack", whenUnsatisfiable="ScheduleAnyway"),
        ),
        {"b"},
    ),
    "siblings are spread even if nobody asks for it": (
        [make_node("a"), make_node("b", allocatable={"cpu": "3900m"})],
        {"a": [make_pod("x", owner="rs")]},
        make_pod("p", owner="rs"),
        {"b"},
    ),
    "the emptier node is better": (
        [make_node("a"), make_node("b")],
        {"a": [make_pod("x", requests={"cpu": "1", "memory": "1Gi"})]},
        make_pod("p", requests={"cpu": "1", "memory": "1Gi"}),
        {"b"},
    ),
    "a large image that is there already decides between equals": (
        [make_node("a"), make_node("b", images=[{"names": ["big:1"], "sizeBytes": 900 * 1024 * 1024}])],
        {},
        make_pod("p", image="big:1"),
        {"b"},
    ),
    "an image that most nodes have decides more than a larger one that few have": (
        [
            make_node("a", images=[BIG]),
            make_node("b", images=[COMMON]),
            *(make_node(name, images=[COMMON], unschedulable=True) for name in "cdefgh"),
        ],
        {},
        make_pod("p", containers=[{"name": "x", "image": "big:1"}, {"name": "y", "image": "common:1"}]),
        {"b"},
    ),
    "a pod that asks for cpu goes where memory is the fuller": (
        [make_node("a"), make_node("b")],
        {"a": [make_pod("x", requests={"cpu": "2"})], "b": [make_pod("y", requests={"memory": "4Gi"})]},
        make_pod("p", requests={"cpu": "1"}),
        {"b"},
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_pod_goes_where_the_rules_allow(name: str) -> None:
    nodes, placed, pod, expected = CASES[name]
    snapshot = make_snapshot(nodes, placed)
    decisions = [decide(pod, snapshot, seed) for seed in range(8)]
    if isinstance(expected, str):
        assert {(one.node, one.reason) for one in decisions} == {("", expected)}
    else:
        assert {one.node for one in decisions} == expected


def test_a_pod_that_asks_for_nothing_does_not_care_how_evenly_a_node_is_filled() -> None:
    assert not BalancedAllocation().scores(make_pod("p"))
    assert BalancedAllocation().scores(make_pod("p", requests={"memory": "1Gi"}))
