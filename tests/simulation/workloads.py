"""What the users of scenarios do: straight-line code of deeds and waits.

Invariant: a workload says nothing of faults; a scenario adds them.
"""

from __future__ import annotations

from simulation.deeds import (
    available,
    budget,
    completed,
    create,
    cronjob,
    daemonset,
    delete,
    deployment,
    drain,
    everywhere,
    gone,
    job,
    named,
    patch,
    roll,
    stateful,
    statefulset,
    uncordon,
)
from simulation.rules import ACKNOWLEDGED
from simulation.virtual_runtime import Process
from simulation.world import World

from api.client import Client
from api.errors import ApiError
from api.objects import Object, is_true
from api.transport import TransportError

DEPLOYMENTS = "deployments.apps"
STATEFULSETS = "statefulsets.apps"
COUNTERS = 3
ROUNDS = 15


def scaling(world: World) -> None:
    create(world, DEPLOYMENTS, deployment("web", 4))
    available(world, "web", 4)
    for replicas in (9, 0, 3):
        patch(world, DEPLOYMENTS, "web", {"spec": {"replicas": replicas}})
        available(world, "web", replicas)


def rolling(world: World) -> None:
    create(world, DEPLOYMENTS, deployment("web", 4))
    available(world, "web", 4)
    world.checks.guard_availability("web", 3)
    for image in ("two", "three"):
        roll(world, DEPLOYMENTS, "web", image)
    available(world, "web", 4)


def serving(world: World) -> None:
    """A Service over a Deployment that rolls and scales: its endpoints are held at rest."""
    service = {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8080, "protocol": "TCP"}]}
    create(world, "services", named("v1", "Service", "web", spec=service))
    create(world, DEPLOYMENTS, deployment("web", 3))
    available(world, "web", 3)
    roll(world, DEPLOYMENTS, "web", "two")
    patch(world, DEPLOYMENTS, "web", {"spec": {"replicas": 6}})
    available(world, "web", 6)


def crowding(world: World) -> None:
    """More pods than the nodes have room for: three nodes of 4 CPUs."""
    for name in ("a", "b", "c"):
        create(world, DEPLOYMENTS, deployment(name, 8, cpu="700m"))
    world.run(30)
    for name in ("a", "b"):
        patch(world, DEPLOYMENTS, name, {"spec": {"replicas": 3}})
    available(world, "c", 8)


def preempting(world: World) -> None:
    """Full nodes, and then pods that matter more."""
    priority: Object = {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": "high"}}
    create(world, "priorityclasses.scheduling.k8s.io", priority | {"value": 1000})
    create(world, DEPLOYMENTS, deployment("low", 9, cpu="1200m"))
    world.run(8)
    important = deployment("high", 4, cpu="1500m")
    important["spec"]["template"]["spec"]["priorityClassName"] = "high"
    create(world, DEPLOYMENTS, important)
    available(world, "high", 4)
    patch(world, DEPLOYMENTS, "low", {"spec": {"replicas": 1}})
    available(world, "low", 1)


def deleting(world: World) -> None:
    for name in ("a", "b"):
        create(world, DEPLOYMENTS, deployment(name, 3))
    create(world, STATEFULSETS, statefulset("db", 2))
    world.run(3)
    for name, propagation in (("a", "Background"), ("b", "Foreground")):
        delete(world, DEPLOYMENTS, name, propagation=propagation)
    delete(world, STATEFULSETS, "db")
    gone(world, "pods")


def adopting(world: World) -> None:
    """A Deployment goes and leaves its pods; one made anew takes them up."""
    create(world, DEPLOYMENTS, deployment("web", 3))
    available(world, "web", 3)
    delete(world, DEPLOYMENTS, "web", propagation="Orphan")
    gone(world, "deployments")
    create(world, DEPLOYMENTS, deployment("web", 3))
    available(world, "web", 3)


def namespaces(world: World) -> None:
    create(world, "namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team"}})
    for resource, inside in ((DEPLOYMENTS, deployment("web", 3)), (STATEFULSETS, statefulset("db", 2))):
        inside["metadata"]["namespace"] = "team"
        create(world, resource, inside)
    world.run(5)
    delete(world, "namespaces", "team", "")
    for plural in ("pods", "deployments", "statefulsets", "configmaps"):
        gone(world, plural, namespace="team")
    world.until("the namespace is gone", lambda: world.checks.history.get("namespaces", "team") is None)


def ordinals(world: World) -> None:
    """A StatefulSet that is scaled and rolled."""
    create(world, STATEFULSETS, statefulset("db", 3))
    stateful(world, "db", 3)
    roll(world, STATEFULSETS, "db", "two")
    patch(world, STATEFULSETS, "db", {"spec": {"replicas": 5}})
    stateful(world, "db", 5)
    patch(world, STATEFULSETS, "db", {"spec": {"replicas": 2}})
    stateful(world, "db", 2)


def parallel_ordinals(world: World) -> None:
    """A StatefulSet without order, and one of its pods deleted by hand again and again."""
    create(world, STATEFULSETS, statefulset("db", 4, podManagementPolicy="Parallel"))
    stateful(world, "db", 4)
    for ordinal in (3, 0, 3):
        delete(world, "pods", f"db-{ordinal}")
    stateful(world, "db", 4)


def rolling_ordinals(world: World) -> None:
    """Of a StatefulSet at most one pod is down while it rolls."""
    create(world, STATEFULSETS, statefulset("db", 3))
    stateful(world, "db", 3)
    world.checks.guard_availability("db", 2)
    for image in ("two", "three"):
        roll(world, STATEFULSETS, "db", image)
    stateful(world, "db", 3)


def on_every_node(world: World) -> None:
    create(world, "daemonsets.apps", daemonset("agent"))
    everywhere(world, "agent", "one")
    roll(world, "daemonsets.apps", "agent", "two")
    everywhere(world, "agent", "two")


def jobs(world: World) -> None:
    create(world, "jobs.batch", job("work", 6, 3))
    create(world, "jobs.batch", job("index", 4, 4, completionMode="Indexed"))
    completed(world, "work")
    completed(world, "index")


def schedules(world: World) -> None:
    """A CronJob over some minutes: one Job a minute, and none once it is suspended."""
    create(world, "cronjobs.batch", cronjob("tick"))
    world.run(200)
    patch(world, "cronjobs.batch", "tick", {"spec": {"suspend": True}})
    world.until("all its Jobs are over", lambda: all(is_true(one, "Complete") for one in world.checks.objects("jobs")))


def losing_nodes(world: World) -> None:
    """A node is taken out of the cluster while its kubelet is down; it comes back with all that it ran."""
    create(world, DEPLOYMENTS, deployment("web", 6))
    create(world, "daemonsets.apps", daemonset("agent"))
    available(world, "web", 6)
    node = world.node_names[0]
    world.crash("node0")
    delete(world, "nodes", node, "")
    world.until("its pods are collected", lambda: not _pods_on(world, node))
    available(world, "web", 6)
    world.until_faults_end()
    world.restart("node0")
    everywhere(world, "agent", "one")
    available(world, "web", 6)


def _pods_on(world: World, node: str) -> list[Object]:
    return [pod for pod in world.checks.objects("pods") if pod["spec"].get("nodeName") == node]


def everything(world: World) -> None:
    """A bit of all that users do, at once."""
    service = {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8080, "protocol": "TCP"}]}
    create(world, "services", named("v1", "Service", "web", spec=service))
    create(world, DEPLOYMENTS, deployment("web", 4))
    create(world, STATEFULSETS, statefulset("db", 3))
    create(world, "jobs.batch", job("work", 4, 2))
    create(world, "daemonsets.apps", daemonset("agent"))
    create(world, DEPLOYMENTS, deployment("old", 3))
    world.run(3)
    roll(world, DEPLOYMENTS, "web", "two")
    roll(world, STATEFULSETS, "db", "two")
    delete(world, DEPLOYMENTS, "old", propagation="Foreground")
    patch(world, DEPLOYMENTS, "web", {"spec": {"replicas": 6}})
    available(world, "web", 6)
    stateful(world, "db", 3)
    completed(world, "work")
    everywhere(world, "agent", "one")


def draining(world: World) -> None:
    """Nodes are drained one after the other; a budget lets one pod be away."""
    create(world, "poddisruptionbudgets.policy", budget("web", maxUnavailable=1))
    create(world, DEPLOYMENTS, deployment("web", 5))
    available(world, "web", 5)
    world.checks.guard_availability("web", 4)
    for node in world.node_names[:2]:
        drain(world, node)
        uncordon(world, node)
    available(world, "web", 5)


def draining_while_rolling(world: World) -> None:
    """A budget holds evictions, maxUnavailable 0 holds the Deployment."""
    create(world, "poddisruptionbudgets.policy", budget("web", minAvailable=3))
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}}
    create(world, DEPLOYMENTS, deployment("web", 4, strategy=strategy))
    available(world, "web", 4)
    world.checks.guard_availability("web", 3)
    drain(world, world.node_names[0])
    available(world, "web", 4)
    world.run(5)
    roll(world, DEPLOYMENTS, "web", "two")
    available(world, "web", 4)


def quotas(world: World) -> None:
    """Three workloads and three users want more than the quota has."""
    hard = {"pods": "10", "requests.cpu": "1200m"}
    create(world, "resourcequotas", named("v1", "ResourceQuota", "small", spec={"hard": hard}))
    world.until("the quota is known", lambda: bool(_status(world, "resourcequotas", "small").get("hard")))
    for name in ("a", "b", "c"):
        create(world, DEPLOYMENTS, deployment(name, 5))
    stop = [False]
    for number in range(3):
        process = Process(f"creator-{number}")
        world.processes[process.name] = process
        world.runtime.spawn_in(process, "create", _come_and_go, world, world.client(process.name), number, stop)
    world.run(10)
    stop[0] = True
    for name in ("a", "b"):
        patch(world, DEPLOYMENTS, name, {"spec": {"replicas": 2}})
    available(world, "c", 5)


def _come_and_go(world: World, client: Client, number: int, stop: list[bool]) -> None:
    """Create and delete a pod again and again until told to stop; leave none."""
    pod = named("v1", "Pod", f"guest-{number}", spec=deployment("guest", 1)["spec"]["template"]["spec"])
    while not stop[0]:
        try:
            client.create("pods", pod)
            client.delete("pods", pod["metadata"]["name"], "default", grace_period_seconds=0)
        except (ApiError, TransportError) as error:
            world.say(f"guest {number}: {error}")
        world.runtime.sleep(1.0)
    while world.checks.history.get("pods", f"default/guest-{number}"):
        try:
            client.delete("pods", pod["metadata"]["name"], "default", grace_period_seconds=0)
        except (ApiError, TransportError):
            world.runtime.sleep(0.5)


def counting(world: World) -> None:
    """Three clients count one object up, each by reading it and writing it back if it did not change meanwhile."""
    create(world, "configmaps", named("v1", "ConfigMap", "shared", data={"value": "0"}))
    acknowledged: list[int] = []
    for number in range(COUNTERS):
        process = Process(f"counter-{number}")
        world.processes[process.name] = process
        world.runtime.spawn_in(process, "count", _count_up, world, world.client(process.name), acknowledged)
    world.until("all have counted", lambda: len(acknowledged) >= COUNTERS * ROUNDS)
    stored = world.checks.history.get("configmaps", "default/shared") or {}
    if len(set(acknowledged)) != len(acknowledged):
        world.checks.violated(ACKNOWLEDGED, f"a value was acknowledged twice: {acknowledged}")
    if int(stored["data"]["value"]) < max(acknowledged):
        world.checks.violated(ACKNOWLEDGED, f"{max(acknowledged)} was acknowledged, {stored['data']} is")


def _count_up(world: World, client: Client, acknowledged: list[int]) -> None:
    done = 0
    while done < ROUNDS:
        try:
            counter = client.get("configmaps", "shared", "default")
            counter["data"]["value"] = str(int(counter["data"]["value"]) + 1)
            stored = client.update("configmaps", counter)
        except (ApiError, TransportError):
            world.runtime.sleep(0.1)
            continue
        acknowledged.append(int(stored["data"]["value"]))
        done += 1
        world.runtime.sleep(world.runtime.choices.uniform(0.0, 0.5))


def outliving_nodes(world: World) -> None:
    """Nodes fail for longer than pods tolerate: all that they ran is made anew elsewhere, or waits for them."""
    create(world, DEPLOYMENTS, deployment("web", 6))
    create(world, STATEFULSETS, statefulset("db", 3))
    available(world, "web", 6)
    stateful(world, "db", 3)
    world.until_faults_end()
    world.until(
        "every node is Ready again", lambda: all(is_true(node, "Ready") for node in world.checks.objects("nodes"))
    )
    available(world, "web", 6)
    stateful(world, "db", 3)


def _status(world: World, plural: str, name: str) -> Object:
    found = world.checks.history.get(plural, f"default/{name}") or {}
    return found.get("status") or {}
