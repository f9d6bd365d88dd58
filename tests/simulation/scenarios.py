"""The scenarios: what a user does, and what may break meanwhile. A seed decides the rest.

A scenario's workload is straight-line code: `do` performs a deed of the user, `until` waits for what must come
true, `checks.at_rest` waits for quiet and holds the rules of rest.

Invariant: a workload uses the API as a user does; only checks look behind it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from simulation.virtual_runtime import Process
from simulation.world import World

from api.client import Client
from api.errors import AlreadyExists, ApiError, NotFound
from api.objects import Object
from api.transport import TransportError

CONTROL = ("apiserver-0", "scheduler-0", "controllers-0")
STANDBY = (*CONTROL, "scheduler-1", "controllers-1")
NODES = ("node0", "node1", "node2")
CONVERGENCE_SECONDS = 900.0
ROUNDS = 10


@dataclass(frozen=True, slots=True)
class Scenario:
    """A workload under up to `most` faults of `kinds` on `targets`, none longer than `longest` seconds."""

    name: str
    workload: Callable[[World], None]
    kinds: tuple[str, ...] = ()
    targets: tuple[str, ...] = CONTROL
    most: int = 5
    span: float = 6.0
    longest: float = 20.0
    nodes: int = 3
    standby: bool = False


def deployment(name: str, replicas: int, *, cpu: str = "100m", image: str = "one") -> Object:
    """A Deployment as a user writes it."""
    container = {"name": "main", "image": image, "resources": {"requests": {"cpu": cpu, "memory": "16Mi"}}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": {"containers": [container]}},
        },
    }


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


def patch(world: World, resource: str, name: str, change: Object) -> None:
    """Merge-patch an object in the default namespace."""
    client = world.client()
    world.do(f"patch {resource} {name}", lambda: bool(client.patch(resource, name, change, "default")))


def available(world: World, name: str, replicas: int) -> None:
    """Wait until a Deployment says that all its replicas are updated and available."""

    def condition() -> bool:
        found = [d for d in world.checks.objects("deployments") if d["metadata"]["name"] == name]
        status = found[0].get("status") or {} if found else {}
        observed = found and status.get("observedGeneration") == found[0]["metadata"]["generation"]
        counts = [status.get(field, 0) for field in ("replicas", "updatedReplicas", "availableReplicas")]
        return bool(observed) and counts == [replicas] * 3

    world.until(f"deployment {name} has {replicas} available", condition, seconds=CONVERGENCE_SECONDS)


def scaling(world: World) -> None:
    create(world, "deployments.apps", deployment("web", 4))
    available(world, "web", 4)
    for replicas in (9, 0, 3):
        patch(world, "deployments.apps", "web", {"spec": {"replicas": replicas}})
        available(world, "web", replicas)


def rolling(world: World) -> None:
    create(world, "deployments.apps", deployment("web", 4))
    available(world, "web", 4)
    world.checks.guard_availability("web", 3)
    for image in ("two", "three"):
        container = deployment("web", 4, image=image)["spec"]["template"]["spec"]["containers"]
        patch(world, "deployments.apps", "web", {"spec": {"template": {"spec": {"containers": container}}}})
    available(world, "web", 4)


def crowding(world: World) -> None:
    """More pods than the nodes have room for: three nodes of 4 CPUs."""
    for name in ("a", "b", "c"):
        create(world, "deployments.apps", deployment(name, 8, cpu="700m"))
    world.run(30)
    for name in ("a", "b"):
        patch(world, "deployments.apps", name, {"spec": {"replicas": 3}})
    available(world, "c", 8)


def deleting(world: World) -> None:
    for name in ("a", "b", "c"):
        create(world, "deployments.apps", deployment(name, 3))
    world.run(3)
    for name, propagation in (("a", "Background"), ("b", "Foreground"), ("c", "Background")):
        delete(world, "deployments.apps", name, propagation=propagation)
    world.until("every pod is gone", lambda: not world.checks.objects("pods"), seconds=CONVERGENCE_SECONDS)


def namespaces(world: World) -> None:
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team"}}
    create(world, "namespaces", namespace)
    inside = deployment("web", 3)
    inside["metadata"]["namespace"] = "team"
    create(world, "deployments.apps", inside)
    world.run(5)
    delete(world, "namespaces", "team", "")

    def gone() -> bool:
        names = [obj["metadata"]["name"] for obj in world.checks.objects("namespaces")]
        left = [pod for pod in world.checks.objects("pods") if pod["metadata"]["namespace"] == "team"]
        return "team" not in names and not left

    world.until("the namespace and its pods are gone", gone, seconds=CONVERGENCE_SECONDS)


def counting(world: World) -> None:
    """Three clients count one object up, each by reading it and writing it back if it did not change meanwhile."""
    create(world, "configmaps", _counter("shared"))
    acknowledged: list[int] = []
    for number in range(3):
        process = Process(f"counter-{number}")
        world.processes[process.name] = process
        world.runtime.spawn_in(process, "count", _count_up, world, world.client(process.name), acknowledged)
    world.until("all have counted", lambda: len(acknowledged) >= 3 * ROUNDS, seconds=CONVERGENCE_SECONDS)
    stored = next(obj for obj in world.checks.objects("configmaps") if obj["metadata"]["name"] == "shared")
    if len(set(acknowledged)) != len(acknowledged):
        world.checks.violated("acknowledged writes persist", f"a value was acknowledged twice: {acknowledged}")
    if int(stored["data"]["value"]) < max(acknowledged):
        world.checks.violated("acknowledged writes persist", f"{max(acknowledged)} was, {stored['data']} is")


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


def _counter(name: str) -> Object:
    metadata = {"name": name, "namespace": "default"}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"value": "0"}}


WEATHER = ("loss", "storm", "break-streams")

SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        Scenario("calm", scaling),
        Scenario("scaling-in-bad-weather", scaling, WEATHER),
        Scenario("scaling-while-control-crashes", scaling, ("crash", "trip"), (*CONTROL, "kvstore")),
        Scenario("rolling-in-bad-weather", rolling, (*WEATHER, "slow"), (*CONTROL, *NODES)),
        Scenario("rolling-while-control-crashes", rolling, ("crash", "trip", "compact"), (*CONTROL, "kvstore")),
        Scenario("rolling-while-leaders-change", rolling, ("crash", "trip", "cut-off"), STANDBY, standby=True),
        Scenario("nodes-come-and-go", scaling, ("crash", "cut-off", "slow"), NODES, longest=120.0),
        Scenario("crowding", crowding, ("crash", "trip", "loss"), STANDBY, standby=True),
        Scenario("deleting", deleting, ("crash", "trip", *WEATHER), (*CONTROL, "kvstore")),
        Scenario("namespaces", namespaces, ("crash", "trip", *WEATHER), (*CONTROL, "kvstore")),
        Scenario("counting", counting, ("crash", "trip", *WEATHER), ("apiserver-0", "kvstore")),
        Scenario("clocks-disagree", rolling, ("skew", "slow"), (*STANDBY, *NODES), standby=True),
        Scenario("compaction-behind-watchers", scaling, ("compact", "cut-off", "break-streams"), (*CONTROL, *NODES)),
    )
}
