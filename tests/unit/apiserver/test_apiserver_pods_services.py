"""Binding, eviction, and the addresses and ports of services."""

from __future__ import annotations

import ipaddress
import threading
from dataclasses import replace

import orjson
import pytest
from apiserver_objects import pod, service

from agents.kubelet.pods.spec import qos_class
from api import errors
from api.objects import condition, is_true

pytestmark = pytest.mark.unit


def bind(client, name: str, node: str) -> bytes:
    body = {"metadata": {"name": name, "namespace": "default"}, "target": {"kind": "Node", "name": node}}
    return client.raw("POST", f"/api/v1/namespaces/default/pods/{name}/binding", orjson.dumps(body))


def test_a_new_pod_is_pending_with_account_token_and_tolerations(client):
    made = client.create("pods", pod("p"))
    assert made["status"] == {"phase": "Pending", "qosClass": "BestEffort"}
    assert made["spec"]["serviceAccountName"] == "default"
    volume = made["spec"]["volumes"][0]
    assert volume["name"].startswith("kube-api-access-")
    assert made["spec"]["containers"][0]["volumeMounts"][0]["name"] == volume["name"]
    assert {one["key"] for one in made["spec"]["tolerations"]} == {
        "node.kubernetes.io/not-ready",
        "node.kubernetes.io/unreachable",
    }


def test_selectors_say_what_they_take_from_the_pods_labels(client):
    term = {"topologyKey": "zone", "labelSelector": {}, "matchLabelKeys": ["a", "none"], "mismatchLabelKeys": ["b"]}
    weighted = {"weight": 1, "podAffinityTerm": term}
    spread = {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule", "labelSelector": {}}
    body = pod(
        "p",
        affinity={
            "podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]},
            "podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [weighted]},
        },
        topologySpreadConstraints=[spread | {"matchLabelKeys": ["b"]}],
    )
    body["metadata"]["labels"] = {"a": "1", "b": "2"}
    spec = client.create("pods", body)["spec"]
    near, far = spec["affinity"]["podAffinity"], spec["affinity"]["podAntiAffinity"]
    taken = [
        {"key": "a", "operator": "In", "values": ["1"]},
        {"key": "b", "operator": "NotIn", "values": ["2"]},
    ]
    assert near["requiredDuringSchedulingIgnoredDuringExecution"][0]["labelSelector"]["matchExpressions"] == taken
    preferred = far["preferredDuringSchedulingIgnoredDuringExecution"][0]["podAffinityTerm"]
    assert preferred["labelSelector"]["matchExpressions"] == taken
    own = [{"key": "b", "operator": "In", "values": ["2"]}]
    assert spec["topologySpreadConstraints"][0]["labelSelector"]["matchExpressions"] == own


def test_a_label_is_not_both_taken_from_the_pod_and_asked_for(client):
    asked = {"matchLabels": {"a": "1"}}
    spread = {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule", "labelSelector": asked}
    body = pod("p", topologySpreadConstraints=[spread | {"matchLabelKeys": ["a"]}])
    body["metadata"]["labels"] = {"a": "1"}
    with pytest.raises(errors.Invalid, match="exists in both matchLabelKeys and labelSelector"):
        client.create("pods", body)


ARMOR = "container.apparmor.security.beta.kubernetes.io/main"


@pytest.mark.parametrize(
    ("annotation", "whole", "profile", "warned"),
    [
        ("localhost/p", None, {"type": "Localhost", "localhostProfile": "p"}, True),
        ("runtime/default", None, {"type": "RuntimeDefault"}, True),
        ("unconfined", {"type": "Unconfined"}, None, False),
        ("localhost/", None, None, True),
    ],
)
def test_a_profile_that_an_annotation_names_comes_into_its_field(cluster, annotation, whole, profile, warned):
    body = pod("p", securityContext={"appArmorProfile": whole} if whole else {})
    body["metadata"]["annotations"] = {ARMOR: annotation}
    status, made, headers = cluster.request("POST", "/api/v1/namespaces/default/pods", body)
    assert status == 201
    assert made["spec"]["containers"][0].get("securityContext", {}).get("appArmorProfile") == profile
    assert (f"metadata.annotations[{ARMOR}]: deprecated since v1.30" in headers.get("Warning", "")) is warned


WHOLE = {"limits": {"cpu": "1", "memory": "1Gi"}}


@pytest.mark.parametrize(
    ("resources", "of_pod", "expected"),
    [
        ({}, {}, "BestEffort"),
        ({"requests": {"cpu": "100m"}}, {}, "Burstable"),
        (WHOLE, {}, "Guaranteed"),
        ({"limits": {"cpu": "1"}}, {}, "Burstable"),
        ({}, {"requests": {"cpu": "1"}}, "Burstable"),
        ({}, WHOLE, "Guaranteed"),
        ({"requests": {"cpu": "1"}}, WHOLE, "Guaranteed"),
        (WHOLE, {"limits": {"cpu": "2"}}, "Burstable"),
    ],
)
def test_quality_of_service_follows_from_resources(client, resources, of_pod, expected):
    container = {"name": "main", "image": "web:1", "resources": resources}
    made = client.create("pods", pod("p", containers=[container], resources=of_pod))
    assert made["status"]["qosClass"] == expected
    del made["status"]["qosClass"]
    assert qos_class(made) == expected, "the kubelet says the same of a pod that only it knows"


def test_binding_sets_the_node_and_the_condition(client):
    client.create("pods", pod("p"))
    client.patch("pods", "p", {"status": {"nominatedNodeName": "n2"}}, "default", subresource="status")
    bind(client, "p", "n1")
    bound = client.get("pods", "p", "default")
    assert bound["spec"]["nodeName"] == "n1"
    assert "nominatedNodeName" not in bound["status"]
    condition = bound["status"]["conditions"][0]
    assert (condition["type"], condition["status"]) == ("PodScheduled", "True")


def test_a_pod_is_bound_once(client):
    client.create("pods", pod("p"))
    bind(client, "p", "n1")
    with pytest.raises(errors.Conflict, match='pod p is already assigned to node "n1"'):
        bind(client, "p", "n2")


def test_one_of_many_concurrent_bindings_wins(client):
    client.create("pods", pod("p"))
    outcomes: list[str] = []

    def attempt(node: str) -> None:
        try:
            bind(client, "p", node)
            outcomes.append(node)
        except errors.Conflict:
            outcomes.append("conflict")

    threads = [threading.Thread(target=attempt, args=(f"n{number}",)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    winners = [outcome for outcome in outcomes if outcome != "conflict"]
    assert winners == [client.get("pods", "p", "default")["spec"]["nodeName"]]


def test_a_budget_without_allowance_refuses_an_eviction(client):
    labelled = pod("p", nodeName="n1")
    labelled["metadata"]["labels"] = {"app": "web"}
    client.create("pods", labelled)
    running = {"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}}
    client.patch("pods", "p", running, "default", subresource="status")
    budget = {
        "metadata": {"name": "b", "namespace": "default"},
        "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "web"}}},
    }
    client.create("poddisruptionbudgets.policy", budget)
    counts = {"observedGeneration": 1, "desiredHealthy": 1, "currentHealthy": 1, "expectedPods": 1}

    def allow(disruptions: int) -> None:
        status = {"status": counts | {"disruptionsAllowed": disruptions}}
        client.patch("poddisruptionbudgets.policy", "b", status, "default", subresource="status")

    def evict() -> None:
        body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "p", "namespace": "default"}}
        client.raw("POST", "/api/v1/namespaces/default/pods/p/eviction", orjson.dumps(body))

    allow(0)
    with pytest.raises(errors.TooManyRequests, match="violate the pod's disruption budget") as refused:
        evict()
    assert refused.value.causes[0].reason == "DisruptionBudget"
    allow(1)
    evict()
    evicted = client.get("pods", "p", "default")
    assert evicted["metadata"]["deletionTimestamp"]
    disrupted = condition(evicted, "DisruptionTarget")
    assert (disrupted["status"], disrupted["reason"]) == ("True", "EvictionByEvictionAPI")
    assert disrupted["message"] == "Eviction API: evicting"
    assert client.get("poddisruptionbudgets.policy", "b", "default")["status"]["disruptionsAllowed"] == 0


@pytest.mark.parametrize("condition_of", ["uid", "resourceVersion"])
def test_an_eviction_keeps_to_the_pod_that_is_meant(client, condition_of):
    made = client.create("pods", pod("p", nodeName="n1"))

    def evict(value: str, **more: object) -> None:
        options = {"preconditions": {condition_of: value}} | more
        body = {"metadata": {"name": "p", "namespace": "default"}, "deleteOptions": options}
        path = "/api/v1/namespaces/default/pods/p/eviction"
        client.raw("POST", path, orjson.dumps(body | {"apiVersion": "policy/v1", "kind": "Eviction"}))

    with pytest.raises(errors.Conflict, match=r"in the precondition \(1\) does not match"):
        evict("1")
    evict(made["metadata"][condition_of], dryRun=["All"])
    assert client.get("pods", "p", "default")["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]
    evict(made["metadata"][condition_of])
    assert client.get("pods", "p", "default")["metadata"]["deletionTimestamp"]


def test_a_service_gets_an_address_of_the_range(cluster):
    made = cluster.client().create("services", service("s"))
    address = ipaddress.ip_address(made["spec"]["clusterIP"])
    assert address in cluster.server.config.service_network
    assert made["spec"]["clusterIPs"] == [str(address)]
    assert made["spec"]["ipFamilies"] == ["IPv4"]


def test_an_address_is_given_once_and_free_again_after_deletion(client):
    client.create("services", service("a", clusterIP="10.96.7.7"))
    with pytest.raises(errors.Invalid, match="provided IP is already allocated"):
        client.create("services", service("b", clusterIP="10.96.7.7"))
    client.delete("services", "a", "default")
    assert client.create("services", service("b", clusterIP="10.96.7.7"))["spec"]["clusterIP"] == "10.96.7.7"


def test_an_address_outside_the_range_is_refused(client):
    with pytest.raises(errors.Invalid, match="the provided network does not match the current range"):
        client.create("services", service("a", clusterIP="192.0.2.1"))


def test_node_ports_are_unique_and_kept_on_update(client):
    made = [client.create("services", service(f"s{number}", type="NodePort")) for number in range(20)]
    ports = [one["spec"]["ports"][0]["nodePort"] for one in made]
    assert len(set(ports)) == 20
    # The first 86 are left to those who ask for one of them.
    assert all(30086 <= port <= 32767 for port in ports)
    updated = client.update("services", service("s0", type="NodePort", sessionAffinity="ClientIP"))
    assert updated["spec"]["ports"][0]["nodePort"] == ports[0]
    assert updated["spec"]["clusterIP"] == made[0]["spec"]["clusterIP"]


def test_low_node_ports_are_given_once_no_others_are_left(cluster, monkeypatch):
    monkeypatch.setattr(cluster.server, "config", replace(cluster.server.config, node_ports=range(30000, 30018)))
    client = cluster.client()
    made = [client.create("services", service(f"s{number}", type="NodePort")) for number in range(18)]
    ports = [one["spec"]["ports"][0]["nodePort"] for one in made]
    assert sorted(ports[:2]) == [30016, 30017] and sorted(ports[2:]) == list(range(30000, 30016))
    with pytest.raises(errors.ApiError, match="range is full"):
        client.create("services", service("more", type="NodePort"))


def test_concurrent_creates_never_share_a_port(cluster):
    made: list[int] = []
    failures: list[str] = []

    def create(number: int) -> None:
        client = cluster.client()
        for part in range(5):
            try:
                body = client.create("services", service(f"s{number}-{part}", type="NodePort"))
                made.append(body["spec"]["ports"][0]["nodePort"])
            except errors.ApiError as error:
                failures.append(str(error))

    threads = [threading.Thread(target=create, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(set(made)) == 30


def test_leaving_the_type_gives_the_port_back(client):
    client.create("services", service("a", type="NodePort", ports=[{"port": 80, "nodePort": 30123}]))
    back = client.patch("services", "a", {"spec": {"type": "ClusterIP"}}, "default")
    assert "nodePort" not in back["spec"]["ports"][0]
    client.create("services", service("b", type="NodePort", ports=[{"port": 80, "nodePort": 30123}]))


def test_a_headless_service_has_no_address(client):
    assert client.create("services", service("h", clusterIP="None"))["spec"]["clusterIPs"] == ["None"]


def test_the_server_publishes_itself(client):
    own = client.get("services", "kubernetes", "default")
    assert own["spec"]["clusterIP"] == "10.96.0.1"
    endpoints = client.get("endpoints", "kubernetes", "default")
    assert endpoints["subsets"][0]["addresses"] == [{"ip": "192.0.2.10"}]


def test_the_network_of_services_is_told_as_a_ready_service_cidr(client):
    found = client.get("servicecidrs.networking.k8s.io", "kubernetes")
    assert found["spec"]["cidrs"] == ["10.96.0.0/16"]
    assert is_true(found, "Ready")
