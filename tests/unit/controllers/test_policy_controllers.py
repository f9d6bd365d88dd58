"""Budgets, quotas, aggregated roles, bootstrap tokens, namespaces, and a loop's memory of its own writes."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from controller_objects import NOW, at, meta, pod

from api import quota
from api.resources import Resource, find
from control.controllers import (
    account_tokens,
    bootstrap_tokens,
    cluster_roles,
    disruption,
    namespace,
    protection,
    resource_quota,
    service_cidrs,
    stale_disruptions,
)
from control.controllers.ledger import Ledger

pytestmark = pytest.mark.unit

READY = [pod(f"p{n}", ready=-5) for n in range(3)]


@pytest.mark.parametrize(
    ("spec", "pods", "scales", "expected"),
    [
        ({"minAvailable": 2}, READY, [], (3, 2, 3, 1)),
        ({"minAvailable": 2}, READY[:1], [], (1, 2, 1, 0)),
        ({"minAvailable": "50%"}, READY, [3], (3, 2, 3, 1)),
        ({"maxUnavailable": 1}, READY, [3], (3, 2, 3, 1)),
        ({"maxUnavailable": 1}, READY, [4], (4, 3, 3, 0)),
        ({"maxUnavailable": "34%"}, READY, [3], (3, 1, 3, 2)),
        ({"maxUnavailable": 1}, [], [], (0, 0, 0, 0)),
        ({"minAvailable": 1}, [*READY[:1], pod("x"), pod("y", ready=-5, deleting=True)], [], (3, 1, 1, 0)),
    ],
)
def test_how_many_may_be_disrupted(spec: Any, pods: Any, scales: list[int], expected: Any) -> None:
    found = disruption.compute({"spec": spec}, pods, scales, {})
    assert (found.expected, found.desired, found.healthy, found.allowed) == expected


@pytest.mark.parametrize(
    ("changes", "seconds"),
    [
        ({}, 70),
        ({"status": "False"}, None),
        ({"type": "PodReadyToStartContainers"}, None),
        ({"lastTransitionTime": None}, None),
    ],
)
def test_an_end_that_did_not_come_is_no_longer_expected(changes: dict[str, Any], seconds: float | None) -> None:
    said = {"type": "DisruptionTarget", "status": "True", "lastTransitionTime": at(-50)} | changes
    moment = stale_disruptions.stale_at(pod("p", status={"conditions": [said]}))
    assert (None if moment is None else moment - NOW) == seconds
    assert stale_disruptions.stale_at(pod("p", deleting=True, status={"conditions": [said]})) is None
    assert stale_disruptions.stale_at(pod("p", "Failed", status={"conditions": [said]})) is None


def test_a_granted_eviction_counts_until_the_pod_goes_or_two_minutes_pass() -> None:
    noted = {"p0": at(-10), "p1": at(-200), "gone": at(-10)}
    budget = {"spec": {}, "status": {"disruptedPods": noted}}
    assert disruption.still_disrupted(budget, READY, NOW).keys() == {"p0"}


def asking(cpu: str, phase: str = "Running", **spec: Any) -> Any:
    containers = [{"resources": {"requests": {"cpu": cpu}, "limits": {"memory": "1Gi"}}}] if cpu else [{}]
    return pod(f"p{cpu}", phase, spec={"containers": containers} | spec)


@pytest.mark.parametrize(
    ("spec", "pods", "used"),
    [
        ({"hard": {"pods": "9"}}, [asking("1"), asking("1", "Succeeded")], {"pods": "1"}),
        ({"hard": {"count/pods": "9"}}, [asking("1"), asking("1", "Succeeded")], {"count/pods": "2"}),
        (
            {"hard": {"requests.cpu": "9", "limits.memory": "9Gi", "cpu": "1"}},
            [asking("1500m"), asking("500m")],
            {"requests.cpu": "2", "limits.memory": "2Gi", "cpu": "2"},
        ),
        ({"hard": {"pods": "9"}, "scopes": ["BestEffort"]}, [asking(""), asking("1")], {"pods": "1"}),
        (
            {"hard": {"pods": "9"}, "scopes": ["CrossNamespacePodAffinity"]},
            [
                asking(
                    "1",
                    affinity={
                        "podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{"namespaces": ["other"]}]}
                    },
                ),
                asking("1"),
            ],
            {"pods": "1"},
        ),
        (
            {"hard": {"pods": "9"}, "scopes": ["Terminating"]},
            [asking("1", activeDeadlineSeconds=5), asking("1")],
            {"pods": "1"},
        ),
    ],
)
def test_what_a_quota_counts(spec: Any, pods: Any, used: Any) -> None:
    assert resource_quota.used(spec["hard"], spec, {find("pods"): pods}) == used


def test_a_quota_counts_services_and_claims_by_kind() -> None:
    services = [{"spec": {"type": "LoadBalancer", "ports": [{}, {}]}}, {"spec": {"type": "NodePort", "ports": [{}]}}]
    claims = [{"spec": {"storageClassName": "fast", "resources": {"requests": {"storage": "2Gi"}}}}]
    fast = "fast.storageclass.storage.k8s.io/requests.storage"
    hard = dict.fromkeys(("services", "services.nodeports", "services.loadbalancers", fast), "9")
    present = {find("services"): services, find("persistentvolumeclaims"): claims}
    found = resource_quota.used(hard, {}, present)
    assert found == {"services": "2", "services.nodeports": "3", "services.loadbalancers": "1", fast: "2Gi"}


@pytest.mark.parametrize(("deleted", "grace", "counts"), [(-40, 30, False), (-20, 30, True), (-20, None, True)])
def test_a_pod_that_should_have_gone_takes_nothing_but_its_name(
    deleted: float, grace: int | None, counts: bool
) -> None:
    going = asking("1")
    going["metadata"] |= {"deletionTimestamp": at(deleted), "deletionGracePeriodSeconds": grace}
    hard = ("pods", "cpu", "count/pods")
    found = resource_quota.used(hard, {}, {find("pods"): [going]}, NOW)
    assert found == {"pods": str(int(counts)), "cpu": str(int(counts)), "count/pods": "1"}


def test_a_quota_of_storage_counts_whole_bytes() -> None:
    claim = {"metadata": {}, "spec": {"resources": {"requests": {"storage": "1001m"}}}}
    assert str(quota.usage_of(find("persistentvolumeclaims"), claim)["requests.storage"]) == "2"


def test_a_quota_of_attributes_counts_claims_by_their_class_and_custom_resources_are_counted() -> None:
    def claim(**spec: Any) -> dict[str, Any]:
        return {"spec": {"resources": {"requests": {"storage": "1Gi"}}} | spec}

    scope = {"scopeName": "VolumeAttributesClass", "operator": "In", "values": ["gold"]}
    spec = {"scopeSelector": {"matchExpressions": [scope]}}
    claims = [claim(volumeAttributesClassName="gold"), claim(), claim() | {
        "status": {"currentVolumeAttributesClassName": "gold"}}]  # fmt: skip
    counted = resource_quota.used(["persistentvolumeclaims"], spec, {find("persistentvolumeclaims"): claims})
    assert counted == {"persistentvolumeclaims": "2"}
    widgets = Resource("example.com", "v1", "widgets", "Widget", True)
    assert resource_quota.used(["count/widgets.example.com"], {}, {widgets: [{}, {}]}) == {
        "count/widgets.example.com": "2"}  # fmt: skip


def test_a_quota_counts_the_devices_that_claims_may_get_by_their_class() -> None:
    def asking_for(*ways: dict[str, Any]) -> dict[str, Any]:
        return {"exactly": ways[0]} if len(ways) == 1 else {"firstAvailable": list(ways)}

    gold, all_gold = {"deviceClassName": "gold", "count": 2}, {"deviceClassName": "gold", "allocationMode": "All"}
    silver = {"deviceClassName": "silver", "allocationMode": "ExactCount", "count": 3}
    requests = [asking_for(gold), asking_for({"deviceClassName": "gold", "count": 1}, gold, silver)]
    claims = [
        {"spec": {"devices": {"requests": requests}}},
        {"spec": {"devices": {"requests": [asking_for(all_gold)]}}},
    ]
    hard = [f"{name}.deviceclass.resource.k8s.io/devices" for name in ("gold", "silver")]
    resource = Resource("resource.k8s.io", "v1", "resourceclaims", "ResourceClaim", True)
    assert list(resource_quota.used(hard, {}, {resource: claims}).values()) == ["36", "3"]
    assert {quota.counted_by(name) for name in hard} == {"resourceclaims.resource.k8s.io"}


@pytest.mark.parametrize(
    ("spec", "status", "moves"),
    [
        ({}, {}, False),
        ({}, {"phase": "Bound"}, False),
        ({"volumeAttributesClassName": "silver"}, {}, True),
        ({}, {"currentVolumeAttributesClassName": "gold"}, True),
        ({}, {"allocatedResources": {"storage": "2Gi"}}, True),
    ],
)
def test_a_claim_that_moves_to_another_class_is_counted_anew(spec: Any, status: Any, moves: bool) -> None:
    old = {"spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}
    new = {"spec": old["spec"] | spec, "status": status}
    assert quota.moves(old, new) is moves


def role(name: str, *verbs: str, selector: dict[str, str] | None = None, **labels: str) -> dict[str, Any]:
    rules = [{"verbs": [verb]} for verb in verbs]
    made: dict[str, Any] = {"metadata": {"name": name, "labels": labels}, "rules": rules}
    if selector:
        made["aggregationRule"] = {"clusterRoleSelectors": [{"matchLabels": selector}]}
    return made


def test_an_aggregated_role_has_the_rules_of_those_it_selects_each_once() -> None:
    roles = [role("b", "get", "list", to="view"), role("a", "get", to="view"), role("c", "delete", to="edit")]
    view = role("view", selector={"to": "view"})
    assert cluster_roles.aggregated(view, [view, *roles]) == [{"verbs": ["get"]}, {"verbs": ["list"]}]


def token(**fields: str) -> dict[str, Any]:
    plain = {"token-id": "abcdef", "token-secret": "0123456789abcdef", "usage-bootstrap-signing": "true"} | fields
    data = {name: base64.b64encode(value.encode()).decode() for name, value in plain.items()}
    return {"metadata": meta("bootstrap-token-abcdef", namespace="kube-system"), "data": data}


@pytest.mark.parametrize(
    ("fields", "signs"),
    [
        ({}, True),
        ({"expiration": at(60)}, True),
        ({"expiration": at(-1)}, False),
        ({"expiration": "soon"}, False),
        ({"usage-bootstrap-signing": "false"}, False),
    ],
)
def test_only_a_valid_token_signs(fields: dict[str, str], signs: bool) -> None:
    data = {"kubeconfig": "content", "jws-kubeconfig-old": "x"}
    found = bootstrap_tokens.signed(data, [token(**fields)], NOW)
    assert set(found) == {"kubeconfig", *(["jws-kubeconfig-abcdef"] if signs else [])}


def test_the_signature_is_a_detached_jws() -> None:
    head, body, mac = bootstrap_tokens.signature("content", "abcdef", "0123456789abcdef").split(".")
    assert body == ""
    assert base64.urlsafe_b64decode(head + "==") == b'{"alg":"HS256","kid":"abcdef"}'
    assert len(base64.urlsafe_b64decode(mac + "=")) == 32


def test_a_namespace_says_what_holds_it_up() -> None:
    remains = namespace.Remains()
    remains.instances["pods."] = 2
    remains.finalizers["example.com/x"] = 1
    found = {one["type"]: one for one in namespace.conditions(remains) if one["status"] == "True"}
    assert found["NamespaceContentRemaining"]["message"] == (
        "Some resources are remaining: pods. has 2 resource instances"
    )
    assert found["NamespaceFinalizersRemaining"]["message"] == (
        "Some content in the namespace has finalizers remaining: example.com/x in 1 resource instances"
    )
    assert not remains.none
    assert namespace.Remains().none


def test_claims_are_held_by_pods_that_have_not_ended() -> None:
    volumes = [{"name": "a", "persistentVolumeClaim": {"claimName": "c"}}, {"name": "tmp", "ephemeral": {}}]
    spec = {"volumes": [volumes[0], {"name": "tmp", "ephemeral": {"volumeClaimTemplate": {}}}]}
    assert protection.claims_used_by(pod("p", spec=spec)) == ["default/c", "default/p-tmp"]
    assert protection.claims_used_by(pod("p", "Succeeded", spec=spec)) == []


def test_claims_hold_the_classes_of_attributes_that_they_want_have_or_come_to() -> None:
    status = {"currentVolumeAttributesClassName": "b", "modifyVolumeStatus": {"targetVolumeAttributesClassName": "c"}}
    assert protection.classes_of_claim({"spec": {"volumeAttributesClassName": "a"}, "status": status}) == [
        "a",
        "b",
        "c",
    ]
    assert protection.classes_of_claim({"spec": {}}) == protection.classes_of_volume({"spec": {}}) == []
    assert protection.classes_of_volume({"spec": {"volumeAttributesClassName": "a"}}) == ["a"]


class Shown:
    """An informer that shows what the test says."""

    def __init__(self) -> None:
        self.resource_version = "10"
        self.objects: dict[str, Any] = {}

    def get(self, key: str) -> Any:
        return self.objects.get(key)


def versioned(name: str, version: int, **more: Any) -> Any:
    made = pod(name, **more)
    made["metadata"]["resourceVersion"] = str(version)
    return made


def test_own_writes_are_seen_at_once_and_forgotten_when_the_informer_has_passed_them() -> None:
    shown = Shown()
    ledger = Ledger(shown)  # type: ignore[arg-type]
    ledger.created("o", versioned("new", 12))
    ledger.updated("o", versioned("changed", 13, phase="Succeeded"))
    ledger.deleted("o", versioned("doomed", 5))
    shown.objects = {"default/changed": versioned("changed", 4), "default/doomed": versioned("doomed", 5)}
    found = {one["metadata"]["name"]: one for one in ledger.view("o", shown.objects.values())}
    assert found.keys() == {"new", "changed", "doomed"}
    assert found["changed"]["status"]["phase"] == "Succeeded"
    assert "deletionTimestamp" in found["doomed"]["metadata"]
    shown.resource_version = "20"
    shown.objects = {"default/changed": versioned("changed", 15)}
    assert [one["metadata"]["resourceVersion"] for one in ledger.view("o", shown.objects.values())] == ["15"]


@pytest.mark.parametrize(("going", "others", "addresses", "expected"), [
    (["10.1.0.0/24"], [], [], True),
    (["10.1.0.0/24"], [], ["10.2.0.1"], True),
    (["10.1.0.0/24"], [], ["10.1.0.1"], False),
    (["10.1.0.0/24"], [["10.1.0.0/16"]], ["10.1.0.1"], True),
    (["10.1.0.0/16"], [["10.1.0.0/24"]], ["10.1.0.1"], True),
    (["10.1.0.0/16"], [["10.1.0.0/24"]], ["10.1.0.1", "10.1.1.1"], False),
    (["10.1.0.0/24", "fd00::/112"], [["10.1.0.0/24"]], ["10.1.0.1", "fd00::1"], False),
])  # fmt: skip
def test_networks_of_services_hold_their_addresses(
    going: list[str], others: list[list[str]], addresses: list[str], *, expected: bool
) -> None:
    objects = [{"spec": {"cidrs": cidrs}} for cidrs in (going, *others)]
    assert service_cidrs.may_go(objects[0], objects[1:], addresses) is expected


def test_what_went_with_an_own_write_is_not_seen_again_though_the_informer_still_shows_it() -> None:
    shown = Shown()
    ledger = Ledger(shown)  # type: ignore[arg-type]
    ledger.gone("o", versioned("ended", 5))
    shown.objects = {"default/ended": versioned("ended", 5)}
    assert ledger.view("o", shown.objects.values()) == []
    namesake = versioned("ended", 9)
    namesake["metadata"]["uid"] = "another"
    shown.objects = {"default/ended": namesake}
    assert ledger.view("o", shown.objects.values()) == [namesake]
    ledger.gone("o", versioned("ended", 5))
    ledger.forget("o")
    shown.objects = {"default/ended": versioned("ended", 5)}
    assert len(ledger.view("o", shown.objects.values())) == 1


ROBOT = {"metadata": {"name": "robot", "namespace": "default", "uid": "u1"}}


def key_of_robot(uid: str = "", **fields: Any) -> dict[str, Any]:
    annotations = {account_tokens.ACCOUNT: "robot"} | ({account_tokens.ACCOUNT_UID: uid} if uid else {})
    return {"type": account_tokens.TYPE, "metadata": meta("key", annotations=annotations)} | fields


@pytest.mark.parametrize(
    ("uid", "account", "belongs"), [("", ROBOT, True), ("u1", ROBOT, True), ("u0", ROBOT, False), ("", None, False)]
)
def test_whose_secret_it_is(uid: str, account: Any, belongs: bool) -> None:
    assert account_tokens.belongs(key_of_robot(uid), account) is belongs


def test_what_a_secret_of_an_account_holds_beside_the_token() -> None:
    found = account_tokens.completed(key_of_robot(), ROBOT, b"ca")
    assert found["data"] == {"ca.crt": "Y2E=", "namespace": "ZGVmYXVsdA=="}
    assert found["metadata"]["annotations"][account_tokens.ACCOUNT_UID] == "u1"
    written = {"ca.crt": "b2xk", "namespace": "eA==", "token": "dA==", "more": "bQ=="}
    kept = account_tokens.completed(key_of_robot(data=written), ROBOT, b"ca")
    assert kept["data"] == written | {"ca.crt": "Y2E="}
    assert account_tokens.completed(kept, ROBOT, b"ca") == kept


def test_secrets_of_other_types_are_no_keys() -> None:
    assert account_tokens.account_key(key_of_robot()) == "default/robot"
    assert account_tokens.account_key(key_of_robot(type="Opaque")) == ""
    assert account_tokens.account_key({"type": account_tokens.TYPE, "metadata": meta("key")}) == ""
