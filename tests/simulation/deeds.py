"""What users do in scenarios: objects as they write them, and deeds that are tried again until they succeed.

Invariant: a deed uses the API as a user does; only `available` and its like look at what is committed.
"""

from __future__ import annotations

from typing import Any

from simulation.world import World

from api.errors import AlreadyExists, NotFound, TooManyRequests
from api.objects import Object, is_true, key_of, labels_of


def template(app: str, *, cpu: str = "100m", image: str = "one", **spec: Any) -> Object:
    """A pod template of one container."""
    container = {"name": "main", "image": image, "resources": {"requests": {"cpu": cpu, "memory": "16Mi"}}}
    return {"metadata": {"labels": {"app": app}}, "spec": {"containers": [container], **spec}}


def named(api_version: str, kind: str, name: str, **parts: Any) -> Object:
    """An object of the default namespace."""
    metadata = {"name": name, "namespace": "default"}
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, **parts}


def deployment(name: str, replicas: int, *, cpu: str = "100m", image: str = "one", **spec: Any) -> Object:
    """A Deployment as a user writes it; `spec` are further fields of its own."""
    selector = {"matchLabels": {"app": name}}
    pods = template(name, cpu=cpu, image=image)
    return named(
        "apps/v1", "Deployment", name, spec={"replicas": replicas, "selector": selector, "template": pods, **spec}
    )


def statefulset(name: str, replicas: int, *, image: str = "one", **spec: Any) -> Object:
    """A StatefulSet as a user writes it."""
    selector = {"matchLabels": {"app": name}}
    own = {"replicas": replicas, "serviceName": name, "selector": selector, "template": template(name, image=image)}
    return named("apps/v1", "StatefulSet", name, spec=own | spec)


def daemonset(name: str, *, image: str = "one") -> Object:
    """A DaemonSet as a user writes it."""
    selector = {"matchLabels": {"app": name}}
    return named("apps/v1", "DaemonSet", name, spec={"selector": selector, "template": template(name, image=image)})


def job(name: str, completions: int, parallelism: int, *, image: str = "ends-5", **spec: Any) -> Object:
    """A Job as a user writes it."""
    pods = template(name, image=image, restartPolicy="Never")
    own = {"completions": completions, "parallelism": parallelism, "backoffLimit": 20, "template": pods}
    return named("batch/v1", "Job", name, spec=own | spec)


def cronjob(name: str, *, image: str = "ends-5") -> Object:
    """A CronJob of every minute."""
    spec = {"schedule": "* * * * *", "jobTemplate": {"spec": job(name, 1, 1, image=image)["spec"]}}
    return named("batch/v1", "CronJob", name, spec=spec)


def budget(app: str, **spec: Any) -> Object:
    """A PodDisruptionBudget over the pods of an app."""
    selector = {"matchLabels": {"app": app}}
    return named("policy/v1", "PodDisruptionBudget", app, spec={"selector": selector, **spec})


def create(world: World, resource: str, obj: Object) -> None:
    """Create; an answer that was lost shows as AlreadyExists at the next try, which is as good."""
    client = world.client()

    def act() -> bool:
        try:
            client.create(resource, obj)
        except AlreadyExists:
            world.say(f"{resource} {obj['metadata']['name']} exists: the first try had succeeded")
        return True

    world.do(f"create {resource} {obj['metadata']['name']}", act)


def delete(world: World, resource: str, name: str, namespace: str = "default", propagation: str = "") -> None:
    """Delete; NotFound at a later try means that an earlier one succeeded."""
    client = world.client()

    def act() -> bool:
        try:
            client.delete(resource, name, namespace, propagation=propagation)
        except NotFound:
            world.say(f"{resource} {name} is gone: an earlier try had succeeded")
        return True

    world.do(f"delete {resource} {name}", act)


def patch(world: World, resource: str, name: str, change: Object, namespace: str = "default") -> None:
    """Merge-patch an object."""
    client = world.client()
    world.do(f"patch {resource} {name}", lambda: bool(client.patch(resource, name, change, namespace)))


def roll(world: World, resource: str, name: str, image: str) -> None:
    """Give a workload's pods another image."""
    pods = {"spec": {"containers": template(name, image=image)["spec"]["containers"]}}
    patch(world, resource, name, {"spec": {"template": pods}})


def drain(world: World, node: str) -> None:
    """Cordon a node and evict its pods, asking again where a budget refuses, as kubectl drain does."""
    client = world.client()
    patch(world, "nodes", node, {"spec": {"unschedulable": True}}, "")

    def evict(pod: Object) -> bool:
        eviction = {"apiVersion": "policy/v1", "kind": "Eviction"}
        metadata = {"name": pod["metadata"]["name"], "namespace": pod["metadata"]["namespace"]}
        options = {"preconditions": {"uid": pod["metadata"]["uid"]}}
        try:
            client.create("pods", {**eviction, "metadata": metadata, "deleteOptions": options}, subresource="eviction")
        except TooManyRequests:
            world.runtime.sleep(2.0)
            raise
        except NotFound:
            return True
        return True

    for pod in world.checks.objects("pods"):
        if pod["spec"].get("nodeName") == node:
            world.do(f"evict {pod['metadata']['name']}", lambda pod=pod: evict(pod), seconds=900.0)


def uncordon(world: World, node: str) -> None:
    """Let a node be scheduled to again."""
    patch(world, "nodes", node, {"spec": {"unschedulable": None}}, "")


def available(world: World, name: str, replicas: int) -> None:
    """Wait until a Deployment says that all its replicas are updated and available."""
    _settled(world, "deployments", name, replicas, ("replicas", "updatedReplicas", "availableReplicas"))


def stateful(world: World, name: str, replicas: int) -> None:
    """Wait until a StatefulSet says that all its replicas are updated and ready."""
    _settled(world, "statefulsets", name, replicas, ("replicas", "updatedReplicas", "readyReplicas"))


def _settled(world: World, plural: str, name: str, replicas: int, fields: tuple[str, ...]) -> None:
    def condition() -> bool:
        found = world.checks.history.get(plural, f"default/{name}")
        status = (found or {}).get("status") or {}
        observed = found and status.get("observedGeneration") == found["metadata"]["generation"]
        return bool(observed) and all(status.get(field, 0) == replicas for field in fields)

    world.until(f"{plural} {name} has {replicas} as wanted", condition)


def everywhere(world: World, name: str, image: str) -> None:
    """Wait until a DaemonSet's pods of an image are ready on every node."""

    def condition() -> bool:
        pods = [pod for pod in world.checks.objects("pods") if labels_of(pod).get("app") == name]
        good = [pod for pod in pods if is_true(pod, "Ready") and pod["spec"]["containers"][0]["image"] == image]
        return len(pods) == len(good) == len(world.node_names)

    world.until(f"daemonset {name} runs {image} on every node", condition)


def completed(world: World, name: str) -> None:
    """Wait until a Job is Complete."""

    def condition() -> bool:
        found = world.checks.history.get("jobs", f"default/{name}")
        return found is not None and is_true(found, "Complete")

    world.until(f"job {name} is complete", condition)


def gone(world: World, plural: str, *, namespace: str = "default") -> None:
    """Wait until a namespace holds nothing of a resource."""

    def condition() -> bool:
        return not [obj for obj in world.checks.objects(plural) if key_of(obj).startswith(f"{namespace}/")]

    world.until(f"{plural} of {namespace} are gone", condition)
