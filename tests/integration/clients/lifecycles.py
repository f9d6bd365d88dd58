"""Workloads, and what the conformance steps of the original ask of them again and again.

Hollow containers run for ever; `end` lets a pod end as its kubelet would say it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from client_cluster import ClientCluster

from api.client import STRATEGIC_MERGE_PATCH
from api.errors import Conflict, NotFound
from api.objects import Object, condition, is_deleting, is_true, name_of
from api.resources import find

REPLICATED = ("deployments.apps", "replicasets.apps", "statefulsets.apps", "replicationcontrollers")
CONTROLLERS = (*REPLICATED, "daemonsets.apps", "jobs.batch", "cronjobs.batch")


def workload(
    resource: str, name: str, *, pod: Object | None = None, labels: Object | None = None, **spec: Any
) -> Object:
    """A workload of two pods where it has a size; `pod` differs in its spec, `spec` in the workload's."""
    kind = find(resource)
    inner: Object = {"containers": [{"name": "c", "image": "example/app:1"}], "terminationGracePeriodSeconds": 0}
    template = {"metadata": {"labels": {"app": name}}, "spec": inner | (pod or {})}
    if resource in REPLICATED:
        spec = {"replicas": 2} | spec
    if kind.group == "apps":
        spec = {"selector": {"matchLabels": {"app": name}}} | spec
    if resource == "replicationcontrollers":
        spec = {"selector": {"app": name}} | spec
    if kind.group == "batch":
        inner["restartPolicy"] = "Never"
        template["spec"] = inner | (pod or {})
    if resource == "cronjobs.batch":
        given = {"schedule": "0 3 1 1 *", "jobTemplate": {"spec": {"template": template}}} | spec
    else:
        given = {"template": template} | spec
    return {
        "apiVersion": kind.api_version,
        "kind": kind.kind,
        "metadata": {"name": name, "labels": labels or {}},
        "spec": given,
    }


class Room:
    """A namespace of the cluster, with short ways to look and wait."""

    def __init__(self, cluster: ClientCluster, namespace: str) -> None:
        self.cluster, self.client, self.namespace = cluster, cluster.client, namespace

    def make(self, resource: str, obj: Object) -> Object:
        """Create an object here."""
        return self.client.create(resource, obj | {"metadata": obj["metadata"] | {"namespace": self.namespace}})

    def get(self, resource: str, name: str) -> Object:
        """The object; {} if there is none."""
        try:
            return self.client.get(resource, name, self.namespace)
        except NotFound:
            return {}

    def status(self, resource: str, name: str) -> Object:
        """The object's status."""
        return self.get(resource, name).get("status") or {}

    def items(self, resource: str, **labels: str) -> list[Object]:
        """The objects with these labels."""
        selector = ",".join(f"{key}={value}" for key, value in labels.items())
        return self.client.list(resource, self.namespace, label_selector=selector).items

    def pods(self, app: str) -> list[Object]:
        """The pods of an app that are not on their way out, by name."""
        return sorted((one for one in self.items("pods", app=app) if not is_deleting(one)), key=name_of)

    def ready(self, app: str) -> list[Object]:
        """Those of them that are ready."""
        return [one for one in self.pods(app) if is_true(one, "Ready")]

    def patch(self, resource: str, name: str, change: Any, **more: Any) -> Object:
        """A merge patch."""
        return self.client.patch(resource, name, change, self.namespace, **more)

    def update(self, resource: str, name: str, change: Callable[[Object], object], subresource: str = "") -> Object:
        """Read, change, write, again if somebody else was faster; what became of it."""
        while True:
            obj = self.client.get(resource, name, self.namespace, subresource=subresource)
            change(obj)
            try:
                return self.client.update(resource, obj, subresource=subresource)
            except Conflict:
                continue

    def delete(self, resource: str, name: str, **more: Any) -> None:
        """Delete an object; one that is gone is fine."""
        try:
            self.client.delete(resource, name, self.namespace, **more)
        except NotFound:
            return

    def delete_collection(self, resource: str, selector: str) -> None:
        """Delete all with these labels."""
        path = find(resource).path(self.namespace)
        self.client.raw("DELETE", f"{path}?labelSelector={selector}&propagationPolicy=Background")

    def clear(self) -> None:
        """Delete all workloads and pods, whatever holds them, and wait until nothing of them is left."""
        for resource in CONTROLLERS:
            self.client.raw("DELETE", f"{find(resource).path(self.namespace)}?propagationPolicy=Background")

        def cleared() -> bool:
            pods = self.items("pods")
            for pod in pods:
                self.delete("pods", name_of(pod), grace_period_seconds=0)
                if pod["metadata"].get("finalizers"):
                    self.let_go(name_of(pod))
            return not pods

        self.until(cleared, "the pods of the namespace are gone")

    def let_go(self, pod: str) -> None:
        """Take what holds a pod from it; one that is gone is fine."""
        try:
            self.patch("pods", pod, {"metadata": {"finalizers": None}})
        except NotFound:
            return

    def until(self, holds: Callable[[], object], what: str, seconds: float = 60.0) -> None:
        """Wait until something holds."""
        self.cluster.until(holds, what, seconds)

    def events(self, name: str) -> list[tuple[str, str]]:
        """(reason, message) of the events about an object."""
        found = self.client.list("events", self.namespace, field_selector=f"involvedObject.name={name}").items
        return [(one["reason"], one.get("message", "")) for one in found]

    def end(self, pods: Sequence[Object], phase: str = "Succeeded", code: int = 0) -> None:
        """Let pods end."""
        for pod in pods:
            ended = {"name": "c", "state": {"terminated": {"exitCode": code}}, "ready": False, "restartCount": 0}
            status = {"phase": phase, "conditions": [], "containerStatuses": [ended | {"image": "i", "imageID": ""}]}
            self.patch("pods", name_of(pod), {"status": status}, subresource="status")

    def says(self, resource: str, name: str, kind: str) -> tuple[str, str]:
        """(status, reason) of a condition; empty if there is none."""
        found = condition(self.get(resource, name), kind) or {}
        return found.get("status", ""), found.get("reason", "")

    def evict(self, pod: str) -> None:
        """Ask for an eviction. Raises ApiError."""
        metadata = {"name": pod, "namespace": self.namespace}
        body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": metadata}
        self.client.create("pods", body, subresource="eviction")

    def merge(self, resource: str, name: str, change: Any, **more: Any) -> Object:
        """A strategic merge patch."""
        return self.patch(resource, name, change, content_type=STRATEGIC_MERGE_PATCH, **more)
