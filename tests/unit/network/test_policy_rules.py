"""What a node's table of policies is made of: shared sets and chains, and nothing that no pod of the node needs."""

from __future__ import annotations

import pytest

from agents.network.nftables.values import Ruleset, changes
from agents.network.policies import EGRESS, INGRESS, cluster_of, desired, judges

pytestmark = pytest.mark.unit

NAMESPACES = [{"metadata": {"name": name, "labels": {"kubernetes.io/metadata.name": name}}} for name in ("a", "b")]
IDLE = {"podSelector": {"matchLabels": {"app": "idle"}}}


def pod(name: str, address: str, *, node: str = "one", namespace: str = "a", **more) -> dict:
    spec = {"nodeName": node, "containers": [{"ports": []}]} | more.pop("spec", {})
    status = {"podIPs": [{"ip": address}], "phase": "Running"} | more
    return {"metadata": {"name": name, "namespace": namespace, "labels": {"app": name}}, "spec": spec, "status": status}


def policy(name: str, app: str, *rules: dict, namespace: str = "a", **spec) -> dict:
    selector = {"matchLabels": {"app": app}} if app else {}
    return {"metadata": {"name": name, "namespace": namespace},
            "spec": {"podSelector": selector, "policyTypes": ["Ingress"], "ingress": list(rules)} | spec}  # fmt: skip


def table(policies: list[dict], pods: list[dict]) -> Ruleset:
    return desired(policies, cluster_of(pods, NAMESPACES), "one", ["10.244.1.0/24", "fd00::/64"])


PODS = [pod("web", "10.244.1.2"), pod("web2", "10.244.1.3"), pod("idle", "10.244.2.2", node="two")]


def test_without_policies_there_is_no_table() -> None:
    assert table([], PODS) == Ruleset()


def test_policies_of_pods_elsewhere_take_no_chain() -> None:
    found = table([policy("p", "idle")], PODS)
    assert set(found.chains) == {"judge-ingress", "judge-egress"}
    assert found.elements[INGRESS] == {}


def test_whom_two_policies_name_alike_is_one_set() -> None:
    found = table([policy("p", "web", {"from": [IDLE]}), policy("q", "web2", {"from": [IDLE]})], PODS)
    (peers,) = [name for name in found.sets if name.startswith("pods-")]
    assert found.elements[peers] == {("10.244.2.2",): None}


def test_pods_that_the_same_policies_select_share_a_chain() -> None:
    found = table([policy("p", ""), policy("q", "")], PODS)
    first, second = found.elements[INGRESS].values()
    assert first == second and len(found.elements[INGRESS]) == 2
    assert found.elements[EGRESS] == {}


@pytest.mark.parametrize("more", [
    {"phase": "Succeeded"}, {"phase": "Failed"}, {"podIPs": []}, {"spec": {"hostNetwork": True}},
    {"podIPs": [{"ip": "fd00::5"}]},
])  # fmt: skip
def test_pods_without_an_address_of_the_network_are_left_out(more: dict) -> None:
    found = table([policy("p", "")], [pod("web", "10.244.1.2", **more)])
    assert found.elements["known"] == {} and found.elements[INGRESS] == {}


def test_a_pod_that_comes_is_a_change_of_elements_alone() -> None:
    policies = [policy("p", "web", {"from": [IDLE]})]
    before, after = changes(table(policies, PODS), table(policies, [*PODS, pod("idle", "10.244.2.3", node="two")]))
    assert (before.chains, before.sets, after.chains, after.sets) == ({}, {}, {}, {})
    assert [list(held) for held in after.elements.values()] == [[("10.244.2.3",)]]


@pytest.mark.parametrize("spec, ingress, egress", [
    ({}, True, False), ({"egress": [{}]}, True, True), ({"policyTypes": ["Egress"]}, False, True),
    ({"policyTypes": ["Ingress", "Egress"]}, True, True), ({"policyTypes": ["Ingress"], "egress": [{}]}, True, False),
])  # fmt: skip
def test_the_directions_that_a_policy_judges(spec: dict, ingress: bool, egress: bool) -> None:
    assert (judges(spec, INGRESS), judges(spec, EGRESS)) == (ingress, egress)
