"""What a Service keeps, gets, gives back and loses when its type changes, as the original's storage does it."""

from __future__ import annotations

from typing import Any

import pytest
from apiserver_objects import service

from api import errors

pytestmark = pytest.mark.unit

ALL = ("clusterIP", "nodePort", "healthCheckNodePort", "externalTrafficPolicy", "allocateLoadBalancerNodePorts")
CLUSTER_IP: dict[str, Any] = {"type": "ClusterIP"}
NODE_PORT: dict[str, Any] = {"type": "NodePort"}
BALANCED: dict[str, Any] = {"type": "LoadBalancer"}
LOCAL: dict[str, Any] = {"type": "LoadBalancer", "externalTrafficPolicy": "Local"}
NAMED: dict[str, Any] = {"type": "ExternalName", "externalName": "away.example.com"}
# What a type has of its own, of ALL.
HAS = {
    "ClusterIP": {"clusterIP"},
    "NodePort": {"clusterIP", "nodePort", "externalTrafficPolicy"},
    "LoadBalancer": {"clusterIP", "nodePort", "externalTrafficPolicy", "allocateLoadBalancerNodePorts"},
    "Local": set(ALL),
    "ExternalName": set(),
}
KINDS = {"ClusterIP": CLUSTER_IP, "NodePort": NODE_PORT, "LoadBalancer": BALANCED, "Local": LOCAL,
         "ExternalName": NAMED}  # fmt: skip


def facts(made: dict) -> dict[str, Any]:
    """What of ALL a Service has."""
    spec = made["spec"]
    found = {field: spec.get(field) for field in ALL} | {"nodePort": spec["ports"][0].get("nodePort")}
    return {field: value for field, value in found.items() if value is not None}


def ways() -> list[tuple[str, str]]:
    return [(one, other) for one in KINDS for other in KINDS if one != other]


@pytest.mark.parametrize("how", ["patched", "replaced by what was read"])
@pytest.mark.parametrize(("before", "after"), ways(), ids=[f"{one} to {other}" for one, other in ways()])
def test_every_type_becomes_every_other(client, before: str, after: str, how: str) -> None:
    old = client.create("services", service("s", **KINDS[before]))
    assert facts(old).keys() == HAS[before]
    if how == "patched":
        new = client.patch("services", "s", {"spec": KINDS[after]}, "default")
    else:
        new = client.update("services", old | {"spec": old["spec"] | KINDS[after]})
    # The policy stays where the new type has one, and with it what it needs.
    assert facts(new).keys() == HAS["Local" if (before, after) == ("Local", "LoadBalancer") else after]
    if before == "Local" and "externalTrafficPolicy" in HAS[after]:
        assert new["spec"]["externalTrafficPolicy"] == "Local"
    for field in ("clusterIP", "nodePort"):
        if field in HAS[before] & HAS[after]:
            assert facts(new)[field] == facts(old)[field]
    # What was given up is there for others, and only that.
    for field in ("nodePort", "healthCheckNodePort"):
        if field in facts(old):
            other = service("other", type="NodePort", ports=[{"port": 80, "nodePort": facts(old)[field]}])
            if field in facts(new):
                with pytest.raises(errors.Invalid, match="provided port is already allocated"):
                    client.create("services", other)
            else:
                client.create("services", other)
                client.delete("services", "other", "default")
    if "clusterIP" in facts(old) and "clusterIP" not in facts(new):
        client.create("services", service("other", clusterIP=old["spec"]["clusterIP"]))


def test_a_type_that_changes_there_and_back_starts_anew(client) -> None:
    made = client.create("services", service("s", type="LoadBalancer", externalTrafficPolicy="Local"))
    gone = client.patch("services", "s", {"spec": NAMED}, "default")
    assert facts(gone) == {} and "ipFamilies" not in gone["spec"] and "clusterIPs" not in gone["spec"]
    back = client.patch("services", "s", {"spec": NODE_PORT | {"externalName": None}}, "default")
    assert facts(back).keys() == HAS["NodePort"] and back["spec"]["externalTrafficPolicy"] == "Cluster"
    assert back["spec"]["ipFamilies"] == made["spec"]["ipFamilies"]


@pytest.mark.parametrize(("first", "ports", "same"), [
    pytest.param([{"port": 80}], [{"port": 81}], {0: 0}, id="the number changes"),
    pytest.param([{"port": 80, "name": "a"}], [{"port": 80, "name": "a", "protocol": "UDP"}], {0: 0}, id="protocol"),
    pytest.param([{"port": 80, "name": "a"}, {"port": 81, "name": "b"}],
                 [{"port": 81, "name": "b"}, {"port": 80, "name": "a"}], {0: 1, 1: 0}, id="the order changes"),
    pytest.param([{"port": 80, "name": "a"}], [{"port": 79, "name": "c"}, {"port": 80, "name": "a"}], {1: 0},
                 id="a port more"),
    pytest.param([{"port": 80, "name": "a"}, {"port": 81, "name": "b"}], [{"port": 81, "name": "b"}], {0: 1},
                 id="a port less"),
])  # fmt: skip
def test_a_node_port_follows_the_name_of_its_port(client, first: list, ports: list, same: dict[int, int]) -> None:
    old = client.create("services", service("s", type="NodePort", ports=first))["spec"]["ports"]
    new = client.update("services", service("s", type="NodePort", ports=ports))["spec"]["ports"]
    for place, former in same.items():
        assert new[place]["nodePort"] == old[former]["nodePort"]
    assert len({one["nodePort"] for one in new}) == len(new)


def test_a_node_port_that_moves_to_another_port_is_not_given_twice(client) -> None:
    old = client.create("services", service("s", type="NodePort", ports=[{"port": 80, "name": "a"}]))
    number = old["spec"]["ports"][0]["nodePort"]
    ports = [{"port": 81, "name": "b", "nodePort": number}, {"port": 80, "name": "a"}]
    new = client.update("services", service("s", type="NodePort", ports=ports))["spec"]["ports"]
    assert new[0]["nodePort"] == number != new[1]["nodePort"]


def test_one_port_of_two_protocols_has_one_node_port(client) -> None:
    client.create("services", service("s"))
    ports = [{"port": 80, "name": "tcp"}, {"port": 80, "name": "udp", "protocol": "UDP"}]
    made = client.update("services", service("s", type="NodePort", ports=ports))["spec"]["ports"]
    assert made[0]["nodePort"] == made[1]["nodePort"]


def test_a_balancer_without_node_ports_keeps_those_it_has(client) -> None:
    bare = client.create("services", service("bare", type="LoadBalancer", allocateLoadBalancerNodePorts=False))
    assert "nodePort" not in bare["spec"]["ports"][0]
    old = client.create("services", service("s", type="NodePort"))
    change = {"spec": {"type": "LoadBalancer", "allocateLoadBalancerNodePorts": False}}
    new = client.patch("services", "s", change, "default")
    assert new["spec"]["ports"][0]["nodePort"] == old["spec"]["ports"][0]["nodePort"]


def test_the_address_of_a_balancer_is_told_no_longer_once_the_type_has_changed(client) -> None:
    client.create("services", service("s", type="LoadBalancer"))
    status = {"status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.8"}]}}}
    client.patch("services", "s", status, "default", subresource="status")
    kept = client.patch("services", "s", {"spec": {"sessionAffinity": "ClientIP"}}, "default")
    assert kept["status"]["loadBalancer"]["ingress"][0]["ip"] == "192.0.2.8"
    new = client.patch("services", "s", {"spec": CLUSTER_IP}, "default")
    assert new["status"] == {"loadBalancer": {}}


def test_external_addresses_need_a_policy_of_a_cluster_ip_service_too(client) -> None:
    client.create("services", service("s", type="NodePort", externalTrafficPolicy="Local"))
    new = client.patch("services", "s", {"spec": {"type": "ClusterIP", "externalIPs": ["192.0.2.7"]}}, "default")
    assert new["spec"]["externalTrafficPolicy"] == "Local"
    assert (
        "externalTrafficPolicy" not in client.patch("services", "s", {"spec": {"externalIPs": []}}, "default")["spec"]
    )


@pytest.mark.parametrize(("before", "change", "said"), [
    (CLUSTER_IP, NAMED | {"clusterIP": "10.96.3.3"}, "spec.clusterIPs: Forbidden: may not be set for ExternalName"),
    (NODE_PORT, {"type": "ClusterIP", "ports": [{"port": 80, "nodePort": 30999}]}, "may not be used when `type` is"),
    (LOCAL, {"type": "NodePort", "healthCheckNodePort": 30998}, "may only be set when `type` is 'LoadBalancer'"),
    (LOCAL, {"healthCheckNodePort": 30998}, "spec.healthCheckNodePort: Forbidden: field is immutable"),
    (LOCAL, {"type": "ClusterIP", "externalTrafficPolicy": "Cluster"}, "may only be set for externally-accessible"),
    (BALANCED, {"type": "NodePort", "allocateLoadBalancerNodePorts": False}, "may only be used when `type` is"),
    (BALANCED | {"loadBalancerSourceRanges": ["10.0.0.0/8"]}, NODE_PORT, "may only be used when `type` is"),
    (BALANCED | {"loadBalancerClass": "a/b"}, {"loadBalancerClass": "a/c"}, "may not change once set"),
    (CLUSTER_IP, {"clusterIP": "10.96.3.3", "clusterIPs": ["10.96.3.3"]}, "clusterIPs[0]: Invalid value"),
    (CLUSTER_IP | {"clusterIP": "None"}, NODE_PORT, "may not be set to 'None' for NodePort services"),
    (NAMED, {"type": "ClusterIP", "ports": None}, "spec.ports: Required value"),
    (CLUSTER_IP | {"ports": [{"port": 10250}]}, BALANCED, "may not expose port 10250 externally"),
    (NODE_PORT, {"ports": [{"port": 80, "nodePort": 99}]}, "provided port is not in the valid range"),
])  # fmt: skip
def test_a_change_is_refused(client, before: dict, change: dict, said: str) -> None:
    made = client.create("services", service("s", **before))
    with pytest.raises(errors.Invalid) as refused:
        client.patch("services", "s", {"spec": change}, "default")
    assert said in str(refused.value)
    assert client.get("services", "s", "default") == made


@pytest.mark.parametrize("kind", [CLUSTER_IP, NODE_PORT])
def test_session_affinity_is_switched_on_and_off(client, kind: dict) -> None:
    client.create("services", service("s", **kind))
    sticky = client.patch("services", "s", {"spec": {"sessionAffinity": "ClientIP"}}, "default")["spec"]
    assert sticky["sessionAffinityConfig"] == {"clientIP": {"timeoutSeconds": 10800}}
    plain = client.patch("services", "s", {"spec": {"sessionAffinity": "None"}}, "default")["spec"]
    assert "sessionAffinityConfig" not in plain
