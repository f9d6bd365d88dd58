"""What controllers say in events and conditions, in the original's words: people and alerts match on them."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from api.errors import ApiError
from api.objects import condition
from api.runtime import timestamp

pytestmark = pytest.mark.integration

BUDGETS = "poddisruptionbudgets.policy"
ROLLOUTS = "rollouts.example.com"


def said(plane: Any, name: str, namespace: str = "default") -> set[tuple[str, str]]:
    events = plane.client.list("events", namespace, field_selector=f"involvedObject.name={name}").items
    return {(one["reason"], one["message"]) for one in events}


def budget(plane: Any, name: str, **spec: Any) -> None:
    spec["selector"] = {"matchLabels": {"app": name}}
    plane.client.create(BUDGETS, {"metadata": {"name": name, "namespace": "default"}, "spec": spec})


def owned_pod(plane: Any, name: str, owner: dict[str, Any] | None) -> None:
    metadata: dict[str, Any] = {"name": name, "namespace": "default", "labels": {"app": name}}
    if owner is not None:
        kind = {"apiVersion": owner["apiVersion"], "kind": owner["kind"], "controller": True}
        metadata["ownerReferences"] = [kind | {"name": owner["metadata"]["name"], "uid": owner["metadata"]["uid"]}]
    plane.client.create("pods", {"metadata": metadata, "spec": {"containers": [{"name": "c", "image": "i"}]}})


def rollouts(plane: Any) -> dict[str, Any]:
    """An object of a kind that is not built in and has a scale."""
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    paths = {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    version["subresources"] = {"status": {}, "scale": paths}
    names = {"plural": "rollouts", "singular": "rollout", "kind": "Rollout"}
    spec = {"group": "example.com", "scope": "Namespaced", "names": names, "versions": [version]}
    plane.client.create(
        "customresourcedefinitions.apiextensions.k8s.io", {"metadata": {"name": ROLLOUTS}, "spec": spec}
    )
    path = "/apis/example.com/v1/namespaces/default/rollouts"
    body = b'{"apiVersion":"example.com/v1","kind":"Rollout","metadata":{"name":"r"},"spec":{"replicas":5}}'

    def served() -> Any:
        try:
            return orjson.loads(plane.client.raw("POST", path, body))
        except ApiError:
            return None

    made: list[Any] = []
    plane.until(lambda: made or made.extend(filter(None, [served()])) or made, "the kind is served")
    return dict(made[0])


def test_budgets_count_by_any_scale_and_tell_of_pods_without_one(plane: Any) -> None:
    plane.start()
    plane.extend([])
    plane.nodes(1)
    plane.until(lambda: plane.find("serviceaccounts", "default", "default"), "pods may be created")
    for name in ("nobody", "bare", "scaled", "strange"):
        budget(plane, name, maxUnavailable=1)
    owned_pod(plane, "bare", None)
    owned_pod(plane, "scaled", rollouts(plane))
    owned_pod(plane, "strange", plane.find("nodes", "node-0") | {"apiVersion": "v1", "kind": "Node"})

    def numbers(name: str) -> tuple[int, ...]:
        status = plane.find(BUDGETS, name, "default").get("status") or {}
        return tuple(status.get(part, -1) for part in ("expectedPods", "desiredHealthy", "disruptionsAllowed"))

    def failed() -> bool:
        verdict = condition(plane.find(BUDGETS, "strange", "default"), "DisruptionAllowed") or {}
        why = 'found no controllers for pod "strange"'
        return (verdict.get("reason"), verdict.get("message")) == ("SyncFailed", why)

    plane.until(lambda: numbers("scaled") == (5, 4, 0), "the custom scale counts")
    plane.until(lambda: numbers("bare") == (0, 0, 0), "a bare pod has no scale")
    plane.until(failed, "the condition says whose controller is unknown")
    plane.until(lambda: ("NoPods", "No matching pods found") in said(plane, "nobody"), "an empty budget says so")
    text = "&LabelSelector{MatchLabels:map[string]string{app: bare,},MatchExpressions:[]LabelSelectorRequirement{},}"
    plane.until(
        lambda: any(reason == "UnmanagedPods" and text in message for reason, message in said(plane, "bare")),
        "the bare pod is told of",
    )


def test_nodes_and_sets_tell_what_happened_to_them(plane: Any) -> None:
    plane.start(node_monitor_period=0.5)
    plane.client.create("nodes", {"metadata": {"name": "brief"}})
    plane.until(lambda: "RegisteredNode" in dict(said(plane, "brief")), "another node is known")
    plane.client.delete("nodes", "brief")
    plane.nodes(1)
    joined = ("RegisteredNode", "Node node-0 event: Registered Node node-0 in Controller")
    plane.until(lambda: joined in said(plane, "node-0"), "the node has joined")
    left = ("RemovingNode", "Node brief event: Removing Node brief from Controller")
    plane.until(lambda: left in said(plane, "brief"), "the other node has left")
    template = {"metadata": {"labels": {"app": "db"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    spec = {"replicas": 1, "serviceName": "db", "selector": {"matchLabels": {"app": "db"}}, "template": template}
    plane.client.create("statefulsets.apps", {"metadata": {"name": "db", "namespace": "default"}, "spec": spec})
    plane.until(lambda: [pod for pod in plane.pods(app="db") if pod["status"]["phase"] == "Running"], "its pod runs")
    first = plane.find("pods", "db-0", "default")["metadata"]["uid"]
    plane.client.patch("pods", "db-0", {"status": {"phase": "Failed"}}, "default", subresource="status")
    plane.until(lambda: first not in {pod["metadata"]["uid"] for pod in plane.pods(app="db")}, "it is made anew")
    told = ("RecreatingFailedPod", "StatefulSet default/db is recreating failed Pod db-0")
    plane.until(lambda: told in said(plane, "db"), "and that is told")


def test_a_pod_that_was_to_be_ended_and_was_not_says_so_no_more(plane: Any) -> None:
    plane.start()
    plane.until(lambda: plane.find("serviceaccounts", "default", "default"), "pods may be made")
    spec = {"containers": [{"name": "c", "image": "i"}], "nodeName": "away"}
    plane.client.create("pods", {"metadata": {"name": "p", "namespace": "default"}, "spec": spec})
    said_once = {"type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler", "message": "m"}
    said_once["lastTransitionTime"] = timestamp(plane.runtime.time() - 180)
    plane.client.patch("pods", "p", {"status": {"conditions": [said_once]}}, "default", subresource="status")

    def verdict() -> Any:
        return condition(plane.find("pods", "p", "default"), "DisruptionTarget")

    plane.until(lambda: verdict()["status"] == "False", "its end is no longer expected")
    assert not verdict().get("reason") and not verdict().get("message")
