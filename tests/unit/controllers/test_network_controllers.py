"""EndpointSlices, Endpoints and the nodes' ranges."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest
from controller_objects import meta, names, pod

from control.controllers import endpoints, endpointslice, node_ipam, topology
from control.controllers import endpointslice_mirroring as mirroring

pytestmark = pytest.mark.unit


NODES: dict[str, Any] = {"n1": {"metadata": meta("n1")}}


def service(**spec: Any) -> dict[str, Any]:
    ports = [{"name": "http", "port": 80, "targetPort": "web", "protocol": "TCP"}]
    return {"metadata": meta("s", labels={"team": "a"}), "spec": {"ports": ports, "selector": {"app": "x"}} | spec}


def backend(name: str, address: str, *, ready: bool = True, port: int = 8080, **more: Any) -> Any:
    spec = {"containers": [{"name": "c", "ports": [{"name": "web", "containerPort": port}]}]}
    status = {"podIP": address, "podIPs": [{"ip": address}]} if address else {}
    return pod(name, ready=-5 if ready else None, spec=spec, status=status, labels={"app": "x"}, **more)


def stored(name: str, slice_: Any) -> Any:
    return slice_ | {"metadata": slice_["metadata"] | {"name": name, "resourceVersion": "1"}}


def test_every_state_of_a_pod_has_its_conditions() -> None:
    pods = [
        backend("ready", "10.0.0.1"),
        backend("starting", "10.0.0.2", ready=False),
        backend("going", "10.0.0.3", deleting=True),
        backend("no-address", ""),
        backend("done", "10.0.0.4", phase="Succeeded"),
    ]
    changes = endpointslice.decide(service(), pods, NODES, [])
    found = {one["targetRef"]["name"]: one["conditions"] for one in changes.create[0]["endpoints"]}
    assert found == {
        "ready": {"ready": True, "serving": True, "terminating": False},
        "starting": {"ready": False, "serving": False, "terminating": False},
        "going": {"ready": False, "serving": True, "terminating": True},
    }


@pytest.mark.parametrize(("distribution", "ready", "hints"), [
    ("", True, None),
    ("PreferClose", True, {"forZones": [{"name": "a"}]}),
    ("PreferSameZone", True, {"forZones": [{"name": "a"}]}),
    ("PreferSameNode", True, {"forZones": [{"name": "a"}], "forNodes": [{"name": "n1"}]}),
    ("PreferClose", False, None),
])  # fmt: skip
def test_endpoints_are_meant_for_who_is_near(distribution: str, ready: bool, hints: Any) -> None:
    one = backend("p", "10.0.0.1", ready=ready)
    one["spec"]["nodeName"] = "n1"
    nodes = {"n1": {"metadata": meta("n1", labels={"topology.kubernetes.io/zone": "a"})}}
    wanted = {"trafficDistribution": distribution} if distribution else {}
    (found,) = endpointslice.decide(service(**wanted), [one], nodes, []).create[0]["endpoints"]
    assert found.get("hints") == hints


def test_a_service_with_nobody_behind_it_has_one_empty_slice() -> None:
    changes = endpointslice.decide(service(), [], {}, [])
    assert [one["endpoints"] for one in changes.create] == [[]]
    present = [stored("s-1", changes.create[0])]
    assert endpointslice.decide(service(), [], {}, present) == endpointslice.Changes()


def test_each_family_of_a_service_has_a_slice_though_pods_have_one_only() -> None:
    changes = endpointslice.decide(service(ipFamilies=["IPv6", "IPv4"]), [backend("a", "10.0.0.1")], NODES, [])
    assert {one["addressType"]: len(one["endpoints"]) for one in changes.create} == {"IPv4": 1, "IPv6": 0}
    present = [stored(f"s-{n}", one) for n, one in enumerate(changes.create)]
    single = endpointslice.decide(service(ipFamilies=["IPv4"]), [backend("a", "10.0.0.1")], NODES, present)
    assert [one["addressType"] for one in single.delete] == ["IPv6"] and not single.create


def test_pods_in_the_network_of_one_node_are_endpoints_each() -> None:
    new, old = backend("new", "192.0.2.5"), backend("old", "192.0.2.5", ready=False, deleting=True)
    changes = endpointslice.decide(service(), [new, old], NODES, [])
    shown = {one["targetRef"]["name"]: one["conditions"]["ready"] for one in changes.create[0]["endpoints"]}
    assert shown == {"new": True, "old": False}
    present = [stored("s-1", changes.create[0])]
    assert endpointslice.decide(service(), [new, old], NODES, present) == endpointslice.Changes()
    (after,) = endpointslice.decide(service(), [new], NODES, present).update
    assert [one["targetRef"]["name"] for one in after["endpoints"]] == ["new"]


@pytest.mark.parametrize("publish", [False, True])
def test_a_pod_whose_node_is_gone_is_shown_only_if_the_service_wants_every_pod(publish: bool) -> None:
    pods = [backend("a", "10.0.0.1"), backend("b", "10.0.0.2", node="gone")]
    asking = service(publishNotReadyAddresses=publish)
    (made,) = endpointslice.decide(asking, pods, NODES, []).create
    assert len(made["endpoints"]) == 1 + publish
    assert endpointslice.lost(asking, pods[1], NODES) != publish


def test_a_hundred_endpoints_a_slice_and_none_moves_when_one_goes() -> None:
    pods = [backend(f"p{n}", f"10.0.{n // 200}.{n % 200 + 1}") for n in range(150)]
    first = endpointslice.decide(service(), pods, NODES, [])
    assert [len(one["endpoints"]) for one in first.create] == [100, 50]
    present = [stored(f"s-{n}", one) for n, one in enumerate(first.create)]
    assert endpointslice.decide(service(), pods, NODES, present) == endpointslice.Changes()
    after = endpointslice.decide(service(), pods[1:], NODES, present)
    assert names(after.update) == ["s-0"]
    assert not after.create
    assert not after.delete


def test_pods_with_other_ports_are_in_a_slice_of_their_own() -> None:
    changes = endpointslice.decide(
        service(), [backend("a", "10.0.0.1"), backend("b", "10.0.0.2", port=9090)], NODES, []
    )
    assert sorted(one["ports"][0]["port"] for one in changes.create) == [8080, 9090]


def test_a_slice_tells_when_what_changed_it_happened() -> None:
    def since(*pods: Any, existing: Any = ()) -> Any:
        changes = endpointslice.decide(service(), pods, NODES, existing)
        (made,) = changes.create + changes.update
        return made, (made["metadata"].get("annotations") or {}).get(endpointslice._LAST_TRIGGER)

    def became(name: str, address: str, time: str, *, ready: bool = True) -> Any:
        one = backend(name, address, ready=ready)
        state = {"type": "Ready", "status": str(ready), "lastTransitionTime": time}
        return one | {"status": one["status"] | {"conditions": [state]}}

    first, second = became("a", "10.0.0.1", "2026-01-01T00:00:10Z"), became("b", "10.0.0.2", "2026-01-01T00:00:20Z")
    third = became("c", "10.0.0.3", "2026-01-01T00:00:30Z")
    made, time = since(first)
    assert time == service()["metadata"]["creationTimestamp"]
    made = stored("s-1", made)
    changed, time = since(first, second, third, existing=[made])
    assert time == "2026-01-01T00:00:20Z", "the first pod of the two that came"
    changed, time = since(second, third, existing=[stored("s-1", changed)])
    assert time is None, "a pod that went does not say when"
    unready = became("b", "10.0.0.2", "2026-01-01T00:00:40Z", ready=False)
    assert since(unready, third, existing=[stored("s-1", changed)])[1] == "2026-01-01T00:00:40Z"


def test_zone_and_node_are_told() -> None:
    node = {"metadata": {"name": "n1", "labels": {"topology.kubernetes.io/zone": "z"}}}
    changes = endpointslice.decide(service(), [backend("a", "10.0.0.1")], {"n1": node}, [])
    found = changes.create[0]["endpoints"][0]
    assert (found["nodeName"], found["zone"]) == ("n1", "z")


def test_both_families_have_slices() -> None:
    both = backend("a", "10.0.0.1")
    both["status"]["podIPs"].append({"ip": "fd00::1"})
    changes = endpointslice.decide(service(ipFamilies=["IPv4", "IPv6"]), [both], NODES, [])
    found = {one["addressType"]: one["endpoints"][0]["addresses"] for one in changes.create}
    assert found == {"IPv4": ["10.0.0.1"], "IPv6": ["fd00::1"]}


def test_endpoints_sort_ready_from_not_ready() -> None:
    found = endpoints.subsets(service(), [backend("a", "10.0.0.1"), backend("b", "10.0.0.2", ready=False)])
    assert [one["ip"] for one in found[0]["addresses"]] == ["10.0.0.1"]
    assert [one["ip"] for one in found[0]["notReadyAddresses"]] == ["10.0.0.2"]


def test_endpoints_have_the_services_first_family_and_ending_pods_only_if_the_service_wants_every_pod() -> None:
    both, ending = backend("a", "10.0.0.1"), backend("b", "10.0.0.2", deleting=True)
    both["status"]["podIPs"].append({"ip": "fd00::1"})
    (found,) = endpoints.subsets(service(ipFamilies=["IPv6", "IPv4"]), [both, ending])
    assert [one["ip"] for one in found["addresses"]] == ["fd00::1"]
    assert "b" not in str(endpoints.subsets(service(), [ending]))
    (shown,) = endpoints.subsets(service(publishNotReadyAddresses=True), [ending])
    assert [one["ip"] for one in shown["addresses"]] == ["10.0.0.2"]


def test_endpoints_are_cut_at_a_thousand() -> None:
    found, over = endpoints.capped([{"addresses": [{"ip": str(n)} for n in range(1500)], "ports": []}])
    assert (len(found[0]["addresses"]), over) == (1000, True)


@pytest.mark.parametrize(
    ("taken", "expected"),
    [
        ([], "10.244.0.0/24"),
        (["10.244.0.0/24", "10.244.2.0/24"], "10.244.1.0/24"),
        (["10.244.0.0/23"], "10.244.2.0/24"),
        (["192.168.0.0/24"], "10.244.0.0/24"),
        (["10.244.0.9/24"], "10.244.1.0/24"),
        ([f"10.244.{n}.0/24" for n in range(256)], ""),
    ],
)
def test_the_first_free_range_is_given(taken: list[str], expected: str) -> None:
    assert node_ipam.decide(ipaddress.ip_network("10.244.0.0/16"), 24, taken) == expected


def test_pods_of_both_families_are_shown_in_a_slice_of_each_and_nodes_get_ranges_of_both() -> None:
    pods = [backend("p", "10.0.0.1")]
    pods[0]["status"]["podIPs"].append({"ip": "fd00::1"})
    changes = endpointslice.decide(service(ipFamilies=["IPv4", "IPv6"]), pods, NODES, [])
    shown = {one["addressType"]: one["endpoints"][0]["addresses"] for one in changes.create}
    assert shown == {"IPv4": ["10.0.0.1"], "IPv6": ["fd00::1"]}
    assert node_ipam.decide(ipaddress.ip_network("fd00:244::/48"), 64, ["10.244.0.0/24", "fd00:244::/64"]) == (
        "fd00:244:0:1::/64"
    )


HALVES = {"a": 0.5, "b": 0.5}


@pytest.mark.parametrize("zones, shares, expected", [
    ("aabb", HALVES, "aabb"),
    ("aaab", HALVES, "baab"),
    ("aaaa", HALVES, "bbaa"),
    ("aaaab", {"a": 0.75, "b": 0.25}, ""),
    ("aaaaaaab", {"a": 0.75, "b": 0.25}, "baaaaaab"),
    ("aab", {"a": 1 / 3, "b": 1 / 3, "c": 1 / 3}, "cab"),
    ("a", HALVES, ""),
    ("aab", HALVES, ""),
    ("aac", HALVES, ""),
    ("aab", {}, ""),
])  # fmt: skip
def test_each_zone_gets_endpoints_by_its_share_or_none_gets_hints(
    zones: str, shares: dict[str, float], expected: str
) -> None:
    found = topology.hints({str(number): zone for number, zone in enumerate(zones)}, shares)
    assert "".join(found[str(number)] for number in range(len(found))) == expected


def worker(zone: str, cpu: str = "2", *, ready: bool = True, **labels: str) -> dict[str, Any]:
    condition = {"type": "Ready", "status": str(ready)}
    return {"metadata": meta(f"n-{zone}", labels=({topology.ZONE: zone} if zone else {}) | labels),
            "status": {"allocatable": {"cpu": cpu}, "conditions": [condition]}}  # fmt: skip


@pytest.mark.parametrize("nodes, expected", [
    ([worker("a"), worker("b", "6")], {"a": 0.25, "b": 0.75}),
    ([worker("a", "500m"), worker("a", "1500m"), worker("b")], HALVES),
    ([worker("a"), worker("b"), worker("c", ready=False)], HALVES),
    ([worker("a"), worker("b"), worker("", **{"node-role.kubernetes.io/control-plane": ""})], HALVES),
    ([worker("a"), worker("b"), worker("")], {}),
    ([worker("a"), worker("a")], {}),
])  # fmt: skip
def test_zones_share_by_the_processors_of_ready_workers(
    nodes: list[dict[str, Any]], expected: dict[str, float]
) -> None:
    assert topology.shares(nodes) == expected


def test_a_service_by_zone_says_of_each_ready_endpoint_whom_it_is_for() -> None:
    asking = service()
    asking["metadata"]["annotations"] = {"service.kubernetes.io/topology-mode": "Auto"}
    assert topology.by_zone(asking) and not topology.by_zone(service())
    pods = [backend("p1", "10.0.0.1"), backend("p2", "10.0.0.2"), backend("p3", "10.0.0.3", ready=False)]
    for one in pods:
        one["spec"]["nodeName"] = "n"
    nodes = {"n": {"metadata": meta("n", labels={topology.ZONE: "a"})}}
    changes = endpointslice.decide(asking, pods, nodes, [], HALVES)
    found = {one["addresses"][0]: one.get("hints") for one in changes.create[0]["endpoints"]}
    assert found == {"10.0.0.1": {"forZones": [{"name": "b"}]}, "10.0.0.2": {"forZones": [{"name": "a"}]},
                     "10.0.0.3": None}  # fmt: skip
    fewer = endpointslice.decide(asking, pods[:1], nodes, [], HALVES)
    assert "hints" not in fewer.create[0]["endpoints"][0]


BY_HAND: dict[str, Any] = {
    "metadata": meta("db", labels={"team": "x"}),
    "subsets": [
        {
            "addresses": [{"ip": "192.0.2.1"}, {"ip": "2001:db8::1"}],
            "notReadyAddresses": [{"ip": "192.0.2.2"}],
            "ports": [{"name": "sql", "port": 5432}],
        }
    ],
}


@pytest.mark.parametrize(
    ("endpoints", "service", "expected"),
    [
        (BY_HAND, {"spec": {}}, True),
        (BY_HAND, {"spec": {"selector": {"app": "db"}}}, False),
        (BY_HAND, None, False),
        (None, {"spec": {}}, False),
        ({"metadata": {"labels": {"endpointslice.kubernetes.io/skip-mirror": "true"}}}, {"spec": {}}, False),
        ({"metadata": {"annotations": {"control-plane.alpha.kubernetes.io/leader": "x"}}}, {"spec": {}}, False),
    ],
)
def test_which_endpoints_are_mirrored(endpoints: Any, service: Any, expected: bool) -> None:
    assert mirroring.mirrored(endpoints, service) == expected


def test_endpoints_by_hand_become_a_slice_for_each_family() -> None:
    found = mirroring.slices_for(BY_HAND)
    shown = [
        (one["addressType"], [(e["addresses"][0], e["conditions"]["ready"]) for e in one["endpoints"]]) for one in found
    ]
    assert shown == [("IPv4", [("192.0.2.1", True), ("192.0.2.2", False)]), ("IPv6", [("2001:db8::1", True)])]
    assert found[0]["metadata"]["labels"] == {
        "team": "x",
        "kubernetes.io/service-name": "db",
        "endpointslice.kubernetes.io/managed-by": "endpointslicemirroring-controller.k8s.io",
    }


def test_what_is_no_address_is_left_out_of_mirrors() -> None:
    addresses = [{"ip": "192.0.2.1"}, {"ip": "192.0.2.01"}, {"ip": "here"}]
    found = mirroring.slices_for({"metadata": meta("db"), "subsets": [{"addresses": addresses}]})
    assert [one["addresses"] for slice_ in found for one in slice_["endpoints"]] == [["192.0.2.1"]]


def test_mirrors_are_changed_only_where_they_differ() -> None:
    present = [
        one | {"metadata": one["metadata"] | {"name": f"s{n}"}} for n, one in enumerate(mirroring.slices_for(BY_HAND))
    ]
    assert mirroring.decide(mirroring.slices_for(BY_HAND), present) == mirroring.Changes()
    fewer = {
        "metadata": BY_HAND["metadata"],
        "subsets": [{"addresses": [{"ip": "192.0.2.9"}]} | {"ports": BY_HAND["subsets"][0]["ports"]}],
    }
    changes = mirroring.decide(mirroring.slices_for(fewer), present)
    assert (names(changes.update), names(changes.delete), changes.create) == (["s0"], ["s1"], [])
    assert changes.update[0]["endpoints"][0]["addresses"] == ["192.0.2.9"]
