"""Which load balancer addresses a node answers for, as a table."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from service_objects import service

from agents.proxy.node_balancers import ANNOUNCED_BY, addresses

pytestmark = pytest.mark.unit


def balanced(*ingress: dict, node: str = "one", **spec) -> dict:
    made = service(type="LoadBalancer", status={"loadBalancer": {"ingress": list(ingress)}}, **spec)
    made["metadata"]["annotations"] = {ANNOUNCED_BY: node}
    return made


@pytest.mark.parametrize("obj, expected", [
    (balanced({"ip": "192.0.2.1"}), ["192.0.2.1"]),
    (balanced({"ip": "192.0.2.1", "ipMode": "VIP"}, {"ip": "192.0.2.2"}), ["192.0.2.1", "192.0.2.2"]),
    (balanced({"ip": "192.0.2.1", "ipMode": "Proxy"}), []),
    (balanced({"ip": "192.0.2.1"}, {"ip": "2001:db8::1"}), ["192.0.2.1", "2001:db8::1"]),
    (balanced({"hostname": "lb.example.org"}), []),
    (balanced(), []),
    (balanced({"ip": "192.0.2.1"}, node="two"), []),
    (balanced({"ip": "192.0.2.1"}, node=""), []),
    (balanced({"ip": "192.0.2.1"}) | {"spec": {"type": "ClusterIP"}}, []),
])  # fmt: skip
def test_the_node_that_is_named_answers(obj: dict, expected: list[str]) -> None:
    assert addresses([obj], "one") == {ip_address(address): "default/web" for address in expected}
