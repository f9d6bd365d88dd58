"""The networks of Services: more of them, what keeps an address from being given out, and the IPAddress of each."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest
from apiserver_in_process import Cluster
from apiserver_objects import service
from crd_objects import eventually

from api import errors
from api.client import Client
from api.objects import Object
from control.apiserver.strategies.service_networks import by_family

pytestmark = pytest.mark.unit

CIDRS, ADDRESSES = "servicecidrs.networking.k8s.io", "ipaddresses.networking.k8s.io"
PARENT = {"group": "", "resource": "services", "namespace": "default", "name": "a"}
NOT_READY = {"conditions": [{"type": "Ready", "status": "False"}]}


def cidr(name: str, *networks: str, **more: Any) -> Object:
    return {"metadata": {"name": name}, "spec": {"cidrs": list(networks)}} | more


def find(client: Client, address: str) -> Object | None:
    return next((one for one in client.list(ADDRESSES).items if one["metadata"]["name"] == address), None)


@pytest.mark.parametrize("service_cidrs, found", [
    ([], ["10.96.0.0/16"]),
    ([cidr("a", "10.96.0.0/16", "fd00::/112")], ["10.96.0.0/16"]),
    ([cidr("a", "203.0.113.0/24")], ["10.96.0.0/16", "203.0.113.0/24"]),
    ([cidr("a", "203.0.113.0/24", status=NOT_READY)], ["10.96.0.0/16"]),
    ([cidr("a", "203.0.113.0/24", metadata={"deletionTimestamp": "2026-01-01T00:00:00Z"})], ["10.96.0.0/16"]),
])  # fmt: skip
def test_addresses_come_from_what_is_ready_and_stays(service_cidrs: list[Object], found: list[str]) -> None:
    networks = by_family([ipaddress.ip_network("10.96.0.0/16")], service_cidrs)
    assert {family: [str(one) for one in known] for family, known in networks.items()} == {"IPv4": found}


def test_a_service_gets_an_address_of_a_further_network(cluster: Cluster, client: Client) -> None:
    client.create(CIDRS, cidr("more", "203.0.113.0/24"))
    cluster.server.cache.catch_up()
    made = client.create("services", service("a", clusterIP="203.0.113.10"))
    assert made["spec"]["clusterIPs"] == ["203.0.113.10"]


def test_each_address_of_a_service_has_an_object_as_long_as_the_service_is_there(client: Client) -> None:
    address = client.create("services", service("a"))["spec"]["clusterIP"]
    found = eventually(lambda: find(client, address))
    assert found["spec"]["parentRef"] == PARENT
    assert found["metadata"]["labels"] == {
        "ipaddress.kubernetes.io/ip-family": "IPv4", "ipaddress.kubernetes.io/managed-by": "ipallocator.k8s.io",
    }  # fmt: skip
    client.delete("services", "a", "default")
    eventually(lambda: find(client, address) is None)


def test_the_object_of_an_address_follows_it_to_another_service(client: Client) -> None:
    client.create("services", service("a", clusterIP="10.96.5.5"))
    eventually(lambda: find(client, "10.96.5.5"))
    client.delete("services", "a", "default")
    client.create("services", service("b", clusterIP="10.96.5.5"))
    eventually(lambda: (find(client, "10.96.5.5") or {}).get("spec") == {"parentRef": PARENT | {"name": "b"}})


def test_an_object_that_is_removed_is_made_again(client: Client) -> None:
    client.create("services", service("a", clusterIP="10.96.5.6"))
    uid = eventually(lambda: find(client, "10.96.5.6"))["metadata"]["uid"]
    client.delete(ADDRESSES, "10.96.5.6")
    eventually(lambda: (find(client, "10.96.5.6") or {"metadata": {"uid": uid}})["metadata"]["uid"] != uid)


def test_an_address_that_somebody_keeps_is_not_given_to_a_service(cluster: Cluster, client: Client) -> None:
    client.create(ADDRESSES, {"metadata": {"name": "10.96.5.7"}, "spec": {"parentRef": PARENT | {"name": "other"}}})
    cluster.server.cache.catch_up()
    with pytest.raises(errors.Invalid, match="provided IP is already allocated"):
        client.create("services", service("a", clusterIP="10.96.5.7"))
    assert client.get(ADDRESSES, "10.96.5.7")["spec"]["parentRef"]["name"] == "other"


@pytest.mark.parametrize("networks, words", [
    ([], "at least one CIDR required"),
    (["10.0.0.0/33"], "must be a valid CIDR value"),
    (["10.1.0.0/16", "10.2.0.0/16"], "may specify no more than one IP for each IP family"),
    (["10.1.0.0/16", "fd00::/112", "10.2.0.0/16"], "may only hold up to 2 values"),
])  # fmt: skip
def test_networks_that_make_no_sense_are_refused(client: Client, networks: list[str], words: str) -> None:
    with pytest.raises(errors.Invalid, match=words):
        client.create(CIDRS, cidr("wrong", *networks))


@pytest.mark.parametrize("networks, fits", [
    (["10.1.0.0/16"], True), (["10.1.0.0/16", "fd00::/112"], True), (["10.2.0.0/16"], False), ([], False),
    (["10.2.0.0/16", "fd00::/112"], False),
])  # fmt: skip
def test_a_second_family_may_be_added_and_nothing_else_changes(
    client: Client, networks: list[str], *, fits: bool
) -> None:
    stored = client.create(CIDRS, cidr("c", "10.1.0.0/16"))
    stored["spec"]["cidrs"] = networks
    if fits:
        assert client.update(CIDRS, stored)["spec"]["cidrs"] == networks
    else:
        with pytest.raises(errors.Invalid, match="field is immutable"):
            client.update(CIDRS, stored)


@pytest.mark.parametrize("network", ["203.0.113.0", "203.0.113.7/24", "203.0.113.0/255.255.255.0", "fd00::%x/64"])
def test_a_network_is_written_as_one(cluster: Cluster, network: str) -> None:
    with pytest.raises(errors.Invalid, match="must be a valid CIDR value"):
        cluster.client().create(CIDRS, cidr("odd", network))
