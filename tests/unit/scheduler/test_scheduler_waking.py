"""Whom the news of a pod or a node wakes: one row a rule."""

from __future__ import annotations

from typing import Any

import pytest
from scheduler_objects import make_node, make_pod

from api.runtime import SystemRuntime
from control.scheduler.observer import Observer
from control.scheduler.pod import PodInfo
from control.scheduler.profiles import DEFAULT_NAME, default_profile, wakes
from control.scheduler.queue import SchedulingQueue
from control.scheduler.snapshot import Snapshot

pytestmark = pytest.mark.unit

REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
ZONE, HOST = "topology.kubernetes.io/zone", "kubernetes.io/hostname"
PROFILES = {DEFAULT_NAME: default_profile()}
AFFINITY, SPREAD, FIT = "InterPodAffinity", "PodTopologySpread", "NodeResourcesFit"


def term(kind: str, app: str, key: str = ZONE) -> dict[str, Any]:
    return {kind: {REQUIRED: [{"labelSelector": {"matchLabels": {"app": app}}, "topologyKey": key}]}}


def spread(app: str) -> list[dict[str, Any]]:
    rule = {"maxSkew": 1, "whenUnsatisfiable": "DoNotSchedule", "labelSelector": {"matchLabels": {"app": app}}}
    return [rule | {"topologyKey": ZONE}]


def db(**more: Any) -> PodInfo:
    return make_pod("db", labels={"app": "db"}, **more)


def waiting(**more: Any) -> PodInfo:
    return make_pod("p", labels={"app": "web"}, **more)


class World:
    """Two nodes in one zone, and a pod that waits because certain plugins refused it."""

    def __init__(self, pod: PodInfo, *plugins: str) -> None:
        self.snapshot = Snapshot()
        self.queue = SchedulingQueue(SystemRuntime(), wakes(PROFILES))
        self.observer = Observer(self.snapshot, self.queue, PROFILES)
        for name in "ab":
            self.observer.on_node(None, make_node(name, labels={ZONE: "z"}))
        self.queue.add(pod)
        entry = self.queue.pop()
        assert entry is not None
        self.queue.park(entry, frozenset(plugins))

    def woken(self) -> bool:
        return not self.queue.counts()["unschedulable"]


def on(pod: PodInfo, node: str) -> Any:
    return pod.pod | {"spec": pod.spec | {"nodeName": node}}


# name: (the pod that waits, who refused it, the pod that comes, whether that wakes it)
ARRIVALS: dict[str, tuple[PodInfo, str, PodInfo, bool]] = {
    "one that it wants to be near": (waiting(affinity=term("podAffinity", "db")), AFFINITY, db(), True),
    "another": (waiting(affinity=term("podAffinity", "db")), AFFINITY, make_pod("x"), False),
    "one that it counts among its like": (
        waiting(topologySpreadConstraints=spread("web")), SPREAD, make_pod("x", labels={"app": "web"}), True,
    ),
    "one that is none of its like": (waiting(topologySpreadConstraints=spread("web")), SPREAD, db(), False),
    "one that takes room": (waiting(requests={"cpu": "9"}), FIT, db(), False),
}  # fmt: skip


@pytest.mark.parametrize("assumed", [False, True], ids=["placed by another", "placed here"])
@pytest.mark.parametrize(("pod", "plugin", "comes", "woken"), ARRIVALS.values(), ids=ARRIVALS)
def test_a_pod_that_gets_a_place(pod: PodInfo, plugin: str, comes: PodInfo, woken: bool, assumed: bool) -> None:
    world = World(pod, plugin)
    if assumed:
        world.snapshot.place(comes, "a")
        world.observer.assumed[comes.key] = comes
    world.observer.on_pod(comes.pod, on(comes, "a"))
    assert world.woken() == woken


ONLY_B = {"nodeSelector": {HOST: "b"}}
# name: (the pod that waits, who refused it, the pod that goes from node a, whether that wakes it)
DEPARTURES: dict[str, tuple[PodInfo, str, PodInfo, bool]] = {
    "room where it fits": (waiting(), FIT, db(), True),
    "room where it may not go": (waiting(**ONLY_B), FIT, db(), False),
    "one in the zone that it keeps away from": (
        waiting(affinity=term("podAntiAffinity", "db"), **ONLY_B), AFFINITY, db(), True,
    ),
    "one in the zone that kept it away": (
        waiting(**ONLY_B), AFFINITY, db(affinity=term("podAntiAffinity", "web")), True,
    ),
    "one that it did not mind": (
        waiting(affinity=term("podAntiAffinity", "db"), **ONLY_B), AFFINITY, make_pod("x"), False,
    ),
    "one of its like elsewhere in the zone": (
        waiting(topologySpreadConstraints=spread("db"), **ONLY_B), SPREAD, db(), True,
    ),
}  # fmt: skip


@pytest.mark.parametrize(("pod", "plugin", "goes", "woken"), DEPARTURES.values(), ids=DEPARTURES)
def test_a_pod_that_gives_up_its_place(pod: PodInfo, plugin: str, goes: PodInfo, woken: bool) -> None:
    world = World(pod, plugin)
    world.snapshot.place(PodInfo(on(goes, "a")), "a")
    world.observer.on_pod(on(goes, "a"), None)
    assert world.woken() == woken


def test_a_relabelled_pod_may_let_in_whom_it_kept_out() -> None:
    world = World(waiting(affinity=term("podAntiAffinity", "db")), AFFINITY)
    before = on(db(), "a")
    world.snapshot.place(PodInfo(before), "a")
    world.observer.on_pod(before, before | {"metadata": before["metadata"] | {"labels": {"app": "other"}}})
    assert world.woken()


@pytest.mark.parametrize(("has", "woken"), [("3", False), ("1", True)])
def test_a_pod_that_is_made_smaller_gives_up_room_once_it_is_smaller(has: str, woken: bool) -> None:
    def state(asked: str, given: str) -> Any:
        pod = on(db(requests={"cpu": asked}), "a")
        return pod | {"status": {"containerStatuses": [{"name": "c", "resources": {"requests": {"cpu": given}}}]}}

    world = World(waiting(requests={"cpu": "2"}, nodeSelector={HOST: "a"}), FIT)
    world.snapshot.place(PodInfo(state("3", "3")), "a")
    world.observer.on_pod(state("3", "3"), state("1", has))
    assert world.woken() == woken


@pytest.mark.parametrize(("plugin", "woken"), [(SPREAD, True), (FIT, False)])
def test_a_node_where_it_does_not_fit_may_be_a_domain_that_it_lacked(plugin: str, woken: bool) -> None:
    world = World(waiting(**ONLY_B), plugin)
    world.observer.on_node(None, make_node("c", labels={ZONE: "y"}))
    assert world.woken() == woken
