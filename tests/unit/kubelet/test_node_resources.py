"""When a node is short of something and who has to go, as tables; what groups count; which images go."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest

from agents.kubelet import clock_skew, shutdown, tiers
from agents.kubelet.cgroups import PodCgroups
from agents.kubelet.eviction import Use, over_own_limit, refused_by_pressure, victim
from agents.kubelet.eviction_manager import EvictionManager, Node
from agents.kubelet.image_collection import ImageCollector, Known, Policy, bytes_to_free, outdated, removable
from agents.kubelet.machine import HugePages, Machine, Pressure
from agents.kubelet.node import Health, NodeSettings, allocatable_of, node_status, overbooked, status_patch
from agents.kubelet.pods.limits import cgroup_parent, container_limits, oom_score, pod_limits
from agents.kubelet.pods.references import resource_value
from agents.kubelet.runtime import cri_spec, podman_spec
from agents.kubelet.runtime.fake import FakeRuntime
from agents.kubelet.runtime.interface import Container, Image, Inventory, Limits, PodIdentity, State, Version
from agents.kubelet.thresholds import (
    DEFAULT,
    Conditions,
    Patience,
    Shortage,
    Signal,
    ThresholdError,
    parse_grace_periods,
    parse_reclaims,
    parse_thresholds,
    reclaiming,
    shortages,
    soft,
    with_memory_of_pods,
)
from agents.kubelet.usage import DiskTraffic, Interface, Throttling, disk_use, interfaces, pod_usage
from api.quantities import parse
from api.runtime import Runtime, SystemRuntime
from api.transport import Request, WsgiTransport

pytestmark = pytest.mark.unit

GIB, MIB = 1024**3, 1024**2


def pod(name: str, priority: int = 0, **resources: Any) -> dict[str, Any]:
    requests = {key: value for key, value in resources.items() if value}
    container = {"name": "app", "image": "x", "resources": {"requests": requests} if requests else {}}
    return {
        "metadata": {"name": name, "namespace": "default", "uid": name},
        "spec": {"containers": [container], "priority": priority},
        "status": {},
    }


def pressure(**low: int) -> Pressure:
    plenty = {
        "memory_available": 8 * GIB, "memory_total": 16 * GIB, "disk_available": 50 * GIB, "disk_total": 100 * GIB,
        "inodes_available": 500, "inodes_total": 1000, "image_disk_available": 50 * GIB,
        "image_disk_total": 100 * GIB, "processes_available": 30000, "processes_total": 32768,
    }  # fmt: skip
    return Pressure(**plenty | low)


SHORTAGES = [
    ("plenty", DEFAULT, {}, []),
    ("memory", DEFAULT, {"memory_available": 99 * MIB}, [("memory.available", 100 * MIB)]),
    ("just enough memory", DEFAULT, {"memory_available": 100 * MIB}, []),
    ("disk", DEFAULT, {"disk_available": 9 * GIB}, [("nodefs.available", 10 * GIB)]),
    ("inodes", DEFAULT, {"inodes_available": 49}, [("nodefs.inodesFree", 50)]),
    ("inodes of images", DEFAULT, {"image_inodes_available": 49, "image_inodes_total": 1000},
     [("imagefs.inodesFree", 50)]),
    ("images", DEFAULT, {"image_disk_available": 14 * GIB}, [("imagefs.available", 15 * GIB)]),
    ("processes", "pid.available<1k", {"processes_available": 999}, [("pid.available", 1000)]),
    ("memory of all pods", DEFAULT, {"pods_memory_available": 99 * MIB, "pods_memory_total": GIB},
     [("allocatableMemory.available", 100 * MIB)]),
    ("a part of what they may use", "memory.available<10%,nodefs.available<1%",
     {"pods_memory_available": GIB, "pods_memory_total": 11 * GIB, "disk_available": 0},
     [("allocatableMemory.available", 11 * GIB // 10), ("nodefs.available", GIB)]),
    ("memory comes first", DEFAULT, {"disk_available": 0, "memory_available": 0},
     [("memory.available", 100 * MIB), ("nodefs.available", 10 * GIB)]),
]  # fmt: skip


@pytest.mark.parametrize(("text", "low", "wanted"), [pytest.param(*c[1:], id=c[0]) for c in SHORTAGES])
def test_thresholds_say_what_is_short(text: str, low: dict[str, int], wanted: list[tuple[str, int]]) -> None:
    found = shortages(pressure(**low), with_memory_of_pods(parse_thresholds(text)))
    assert [(shortage.signal.value, shortage.wanted) for shortage in found] == wanted


@pytest.mark.parametrize("text", ["", "memory.available<0%", "memory.available<100%"])
def test_thresholds_that_are_none(text: str) -> None:
    assert parse_thresholds(text) == ()


WRONG = ["memory.available", "memory<1Gi", "memory.available<much", "memory.available<x%", "memory.available<-150Mi",
         "memory.available<-15%", "memory.available<101%", "memory.available<0", "pid.available<5,pid.available<6",
         "memory.available<150Mi,invalid.foo<150Mi"]  # fmt: skip


@pytest.mark.parametrize("text", WRONG)
def test_a_wrong_threshold_is_named(text: str) -> None:
    with pytest.raises(ValueError, match="is not SIGNAL<QUANTITY"):
        parse_thresholds(text)


def test_a_soft_threshold_acts_when_it_has_been_met_for_its_grace_period() -> None:
    hard = parse_thresholds("memory.available<100Mi")
    softer = soft(parse_thresholds("memory.available<1Gi"), parse_grace_periods("memory.available=1m30s"))
    patience = Patience()

    def over(now: float, available: int) -> list[float]:
        found = shortages(pressure(memory_available=available), hard + softer)
        return [shortage.grace for shortage in patience.over(found, now)]

    assert over(0, 500 * MIB) == [] and over(89, 500 * MIB) == []
    assert over(90, 500 * MIB) == [90] and over(91, 50 * MIB) == [0, 90]
    assert over(100, 2 * GIB) == [] and over(101, 500 * MIB) == [] and over(191, 500 * MIB) == [90]


RECLAIMED = [
    # (available in GiB, look by look; whether the threshold of 1 GiB is met)
    ("without", "", [(0.9, True), (1.1, False), (0.9, True)]),
    ("an-amount", "memory.available=1Gi", [(1.1, False), (0.9, True), (1.1, True), (1.9, True), (2.1, False)]),
    ("a-part", "memory.available=12.5%", [(0.9, True), (2.9, True), (3.1, False)]),
    ("of-another-signal", "pid.available=9", [(0.9, True), (1.1, False)]),
]  # fmt: skip


@pytest.mark.parametrize(("text", "looks"), [pytest.param(*row[1:], id=row[0]) for row in RECLAIMED])
def test_a_shortage_lasts_until_what_must_be_reclaimed_is_there(text: str, looks: list[tuple[float, bool]]) -> None:
    thresholds = reclaiming(parse_thresholds("memory.available<1Gi"), parse_reclaims(text))
    patience = Patience()
    for now, (available, met) in enumerate(looks):
        found = shortages(pressure(memory_available=int(available * GIB)), thresholds, patience.since)
        assert [entry.wanted for entry in patience.over(found, now)] == ([GIB] if met else [])


@pytest.mark.parametrize("text", ["memory.available", "memory.available=much", "disk=1Gi", "pid.available=-5%"])
def test_what_must_be_reclaimed_is_refused_if_it_cannot_be_read(text: str) -> None:
    with pytest.raises(ValueError, match="is not SIGNAL=QUANTITY"):
        parse_reclaims(text)


def test_a_soft_threshold_needs_a_grace_period() -> None:
    with pytest.raises(ThresholdError, match=r"memory\.available has no grace period"):
        soft(parse_thresholds("memory.available<1Gi"), parse_grace_periods("pid.available=1m"))
    for text in ("memory=1m", "memory.available", "memory.available=1", "memory.available=-30s"):
        with pytest.raises(ValueError, match="is not SIGNAL=DURATION"):
            parse_grace_periods(text)


def test_a_pod_that_goes_after_a_while_has_its_grace_period_up_to_the_longest() -> None:
    made = pod("a")
    for shortage, wanted in ((Shortage(Signal.MEMORY, 0, 1, 90.0), 20.0), (Shortage(Signal.MEMORY, 0, 1), 1.0)):
        chosen = victim(shortage, [made], lambda _: Use(), longest_grace=20.0)
        assert chosen is not None and chosen[1].grace == wanted
    made["spec"]["terminationGracePeriodSeconds"] = 5
    chosen = victim(Shortage(Signal.MEMORY, 0, 1, 90.0), [made], lambda _: Use(), longest_grace=20.0)
    assert chosen is not None and chosen[1].grace == 5.0


def test_a_pressure_that_ended_is_told_for_a_while() -> None:
    conditions = Conditions(transition=300)
    short = [Shortage(Signal.NODE_DISK, 0, 1)]
    told = [conditions.update(found, now) for found, now in ((short, 0), ([], 10), ([], 299), ([], 301))]
    assert told == [frozenset({"DiskPressure"})] * 3 + [frozenset()]


VICTIMS = [
    ("the one above its request", {"a": (400, 0, "500Mi"), "b": (300, 0, "100Mi")}, "b"),
    ("of those the one of low priority", {"a": (900, 10, ""), "b": (300, 5, "")}, "b"),
    ("then the one that is most above", {"a": (900, 0, "100Mi"), "b": (950, 0, "500Mi")}, "a"),
    ("no critical one", {"a": (900, 2_000_000_000, ""), "b": (1, 0, "")}, "b"),
]


@pytest.mark.parametrize(("pods", "wanted"), [pytest.param(*c[1:], id=c[0]) for c in VICTIMS])
def test_who_goes_when_memory_is_short(pods: dict[str, tuple[int, int, str]], wanted: str) -> None:
    made = [pod(name, priority, memory=request) for name, (_, priority, request) in pods.items()]

    def use(of: dict[str, Any]) -> Use:
        return Use(memory={"app": pods[of["metadata"]["name"]][0] * MIB})

    chosen = victim(Shortage(Signal.MEMORY, 50 * MIB, 100 * MIB), made, use)
    assert chosen is not None and chosen[0]["metadata"]["name"] == wanted
    assert chosen[1].message.startswith(
        "The node was low on resource: memory. Threshold quantity: 100Mi, available: 50Mi. Container app was using "
    )


def test_nobody_goes_if_all_are_critical() -> None:
    assert victim(Shortage(Signal.MEMORY, 0, 1), [pod("a", 2_000_001_000)], lambda _: Use()) is None


def test_disk_beyond_a_limit_is_said_of_whom_it_is() -> None:
    made = pod("a")
    made["spec"]["volumes"] = [{"name": "v", "emptyDir": {"sizeLimit": "1Mi"}}]
    made["spec"]["containers"][0]["resources"] = {"limits": {"ephemeral-storage": "2Mi"}}
    cases = [
        (Use(volumes={"v": 2 * MIB}), 'Usage of EmptyDir volume "v" exceeds the limit "1Mi". '),
        (Use(logs={"app": 2 * MIB}, volumes={"v": MIB}),
         "Pod ephemeral local storage usage exceeds the total limit of containers 2Mi. "),
    ]  # fmt: skip
    assert [found.message for use, _ in cases if (found := over_own_limit(made, use))] == [text for _, text in cases]
    assert over_own_limit(made, Use(logs={"app": MIB}, volumes={"v": MIB})) is None
    made["spec"]["containers"].append({"name": "side", "resources": {"limits": {"ephemeral-storage": "2Mi"}}})
    found = over_own_limit(made, Use(logs={"app": 3 * MIB}))
    assert found is not None and found.message == 'Container app exceeded its local ephemeral storage limit "2Mi". '
    assert found.disruption == ""
    made["spec"]["initContainers"] = [{"name": "i", "resources": {"limits": {"ephemeral-storage": "8Mi"}}}]
    assert over_own_limit(made, Use(logs={"side": MIB, "app": 2 * MIB}, volumes={"v": MIB, "w": 3 * MIB})) is None
    made["spec"]["priority"] = 2_000_000_000
    assert over_own_limit(made, Use(volumes={"v": 2 * MIB})) is None


USES = Use(
    memory={"a": 1}, processes=2, logs={"a": 10}, roots={"a": 100}, volumes={"v": 1000, "m": 5}, inodes=20,
    root_inodes=200, in_memory=frozenset({"m"}),
)  # fmt: skip
ALL_SIGNALS = [Signal.MEMORY, Signal.PODS_MEMORY, Signal.NODE_DISK, Signal.NODE_INODES, Signal.IMAGE_DISK,
               Signal.IMAGE_INODES, Signal.PROCESSES]  # fmt: skip


def test_what_counts_where_images_lie_on_a_disk_of_their_own() -> None:
    assert [USES.of(signal) for signal in ALL_SIGNALS] == [1, 1, 1110, 220, 1110, 220, 2]
    apart = dataclasses.replace(USES, images_apart=True)
    assert [apart.of(signal) for signal in ALL_SIGNALS] == [1, 1, 1010, 20, 100, 200, 2]
    assert (USES.limited("a"), apart.limited("a"), apart.of_container("a")) == (110, 10, 110)
    assert (USES.on_any_disk(), apart.on_any_disk()) == (1110, 1110)


def tolerating(pressure: str) -> dict[str, Any]:
    made = pod("a")
    made["spec"]["tolerations"] = [{"key": f"node.kubernetes.io/{pressure}", "effect": "NoSchedule"}]
    return made


ADMISSIONS = [
    ("no pressure", pod("a"), set(), None),
    ("best effort that bears it", tolerating("memory-pressure"), {"MemoryPressure"}, None),
    ("best effort that bears another", tolerating("disk-pressure"), {"MemoryPressure"},
     "The node had condition: [MemoryPressure]. "),
    ("best effort under memory pressure", pod("a"), {"MemoryPressure"}, "The node had condition: [MemoryPressure]. "),
    ("burstable under memory pressure", pod("a", memory="1Mi"), {"MemoryPressure"}, None),
    ("any under disk pressure", pod("a", memory="1Mi"), {"DiskPressure"}, "The node had condition: [DiskPressure]. "),
    ("critical under disk pressure", pod("a", 2_000_000_000), {"DiskPressure"}, None),
]  # fmt: skip


@pytest.mark.parametrize(("made", "conditions", "wanted"), [pytest.param(*c[1:], id=c[0]) for c in ADMISSIONS])
def test_who_is_taken_under_pressure(made: dict[str, Any], conditions: set[str], wanted: str | None) -> None:
    found = refused_by_pressure(made, frozenset(conditions))
    assert found == (None if wanted is None else ("Evicted", wanted))


def test_images_go_by_when_they_were_used() -> None:
    images = [Image("used"), Image("never"), Image("young"), Image("pinned", pinned=True), Image("running")]
    known = {"used": Known(0, 500), "never": Known(0), "young": Known(990), "pinned": Known(0), "running": Known(0)}
    found = removable(images, {"running"}, known, 1000.0, 120.0)
    assert [image.id for image in found] == ["never", "used"]
    assert [image.id for image in outdated(found, known, 1000.0, 600.0)] == ["never"]
    assert outdated(found, known, 1000.0, 0.0) == []
    frees = [bytes_to_free(available, 1000, Policy()) for available in (200, 160, 159, 100, 0)]
    assert frees == [0, 0, 41, 100, 200]


class Stored(FakeRuntime):
    """A runtime that has images and no containers."""

    def __init__(self, clock: Runtime, *ids: str) -> None:
        super().__init__(clock)
        self.images = [Image(image, size=10) for image in ids]

    def list_images(self) -> list[Image]:
        return list(self.images)

    def remove_image(self, image_id: str) -> None:
        self.images = [image for image in self.images if image.id != image_id]


class Later(SystemRuntime):
    """A clock that can be ahead."""

    ahead = 0.0

    def time(self) -> float:
        return super().time() + self.ahead


@pytest.mark.parametrize(("available", "freed", "left"), [(900, 10, ["new"]), (0, 20, [])])
def test_what_nobody_has_used_for_long_goes_first(available: int, freed: int, left: list[str]) -> None:
    clock = Later()
    runtime = Stored(clock, "old")
    space = [(900, 1000)]
    collector = ImageCollector(clock, runtime, lambda: space[-1], Policy(minimum_age=0.0, longest_unused=600.0))
    assert collector.collect() == 0
    clock.ahead = 601.0
    runtime.images.append(Image("new", size=10))
    space.append((available, 1000))
    assert collector.collect() == freed
    assert [image.id for image in runtime.images] == left


def test_an_image_with_which_a_pod_begins_while_others_are_removed_stays() -> None:
    class Busy(Stored):
        """A runtime of which a pod takes the second image when the first is removed."""

        def list(self, pod_uid: str = "") -> Inventory:
            taken = Container("c", PodIdentity("web", "default", "u"), "app", 0, "s", State.RUNNING, "b:1", "b")
            return Inventory((), () if len(self.images) == 3 else (taken,))

    runtime = Busy(SystemRuntime(), "a", "b", "c")
    collector = ImageCollector(SystemRuntime(), runtime, lambda: (900, 1000), Policy())
    assert collector.collect_all() == 20
    assert [image.id for image in runtime.images] == ["b"]


# Source: kubelet/cm TestNodeAllocatableReservationForScheduling and TestNodeAllocatableInputValidation. What is
# reserved, what eviction keeps free, and what of 10 cpus, 10 Gi of memory and 20 Gi of disk is for pods.
RESERVED = [
    ({"cpu": "150m", "memory": "150Mi"}, "", ("9850m", "10090Mi", "20Gi"), ""),
    ({"cpu": "150m", "memory": "150Mi"}, "memory.available<100Mi", ("9850m", "9990Mi", "20Gi"), ""),
    ({"cpu": "150m", "memory": "150Mi"}, "memory.available<5%", ("9850m", "9578Mi", "20Gi"), ""),
    ({}, "", ("10", "10Gi", "20Gi"), ""),
    ({"ephemeral-storage": "1Gi"}, "nodefs.available<10%", ("10", "10Gi", "17Gi"), ""),
    ({"ephemeral-storage": "1Gi"}, "nodefs.available<1Gi,imagefs.available<15%", ("10", "10Gi", "18Gi"), ""),
    ({"memory": "9Gi"}, "memory.available<2Gi", ("10", "0", "20Gi"), "of memory 11811160064 bytes are reserved"),
    ({"cpu": "11"}, "", ("0", "10Gi", "20Gi"), "of cpu 11000m are reserved"),
    ({"ephemeral-storage": "20Gi"}, "nodefs.available<100Mi", ("10", "10Gi", "0"), "of ephemeral-storage "),
]


@pytest.mark.parametrize(("reserved", "kept", "amounts", "problem"), RESERVED)
def test_what_is_set_aside_is_not_for_pods(
    reserved: dict[str, str], kept: str, amounts: tuple[str, ...], problem: str
) -> None:
    settings, machine = (
        NodeSettings("n", reserved=reserved, kept=parse_thresholds(kept)),
        Machine(10, 10 * GIB, 20 * GIB),
    )
    found = allocatable_of(settings, machine)
    assert (found["cpu"], found["memory"]) == amounts[:2]
    assert parse(found["ephemeral-storage"]) == parse(amounts[2])
    said = overbooked(settings, machine)
    assert said.startswith(problem) and bool(said) is bool(problem)


EXTENDED = [
    ("kept, and for pods", {"dongle.example/usb": "3"}, {}, {"dongle.example/usb": "3"}),
    ("taken back", {}, {"dongle.example/usb": "3"}, {"dongle.example/usb": None}),
    ("nothing of the kind", {}, {}, {}),
]


@pytest.mark.parametrize(("capacity", "allocatable", "wanted"), [pytest.param(*c[1:], id=c[0]) for c in EXTENDED])
def test_what_others_say_a_node_has(
    capacity: dict[str, str], allocatable: dict[str, str], wanted: dict[str, str | None]
) -> None:
    settings, machine, version = NodeSettings("n"), Machine(cpus=2, memory=4 * GIB, disk=10 * GIB), Version("p", "1")
    status = node_status(settings, machine, version, [], Health(), {}, 0.0)
    old = {"status": {**status, "capacity": status["capacity"] | capacity, "allocatable": allocatable, "images": []}}
    images = [Image("1", names=("web:1",))]
    patch = status_patch(old, node_status(settings, machine, version, images, Health(), old, 0.0), heartbeat=False)
    listed = [{"names": ["web:1"], "sizeBytes": 0}]
    assert patch == {"status": {"allocatable": status["allocatable"] | wanted, "images": listed}}


@pytest.mark.parametrize(("swap", "told"), [(0, None), (2 * GIB, {"capacity": 2 * GIB})])
def test_a_node_tells_of_its_swap_if_it_has_any(swap: int, told: dict[str, int] | None) -> None:
    machine = Machine(cpus=2, memory=4 * GIB, disk=10 * GIB, swap=swap)
    status = node_status(NodeSettings("n"), machine, Version("p", "1"), [], Health(), {}, 0.0)
    assert status["nodeInfo"].get("swap") == told


def test_what_a_machine_has_no_longer_is_taken_back() -> None:
    machine = Machine(cpus=2, memory=4 * GIB, disk=10 * GIB)
    before, now = (
        node_status(NodeSettings("n"), one, Version("p", "1"), [], Health(), {}, 0.0)
        for one in (dataclasses.replace(machine, swap=GIB, huge_pages=(HugePages(GIB, 0),)), machine)
    )
    patch = status_patch({"status": before}, now, heartbeat=False)
    assert patch == {
        "status": {
            "capacity": now["capacity"] | {"hugepages-1Gi": None},
            "allocatable": now["allocatable"] | {"hugepages-1Gi": None},
            "nodeInfo": now["nodeInfo"] | {"swap": None},
        }
    }


def amounts(cpu: str = "", memory: str = "") -> dict[str, str]:
    return {name: text for name, text in (("cpu", cpu), ("memory", memory)) if text}


SMALL, BARE = {"limits": amounts("100m", "16Mi")}, {"requests": amounts("50m", "8Mi")}
WHOLES = [
    # (containers, init containers, sidecars, what the pod names itself; what its group gets)
    ("nothing", [{}], [], [], {}, Limits(2, 0, 0)),
    ("requests", [BARE, BARE], [], [], {}, Limits(102, 0, 0)),
    ("little requests", [{"requests": amounts("1m")}] * 3, [], [], {}, Limits(3, 0, 0)),
    ("more than there is room for", [{"requests": amounts("300")}], [], [], {}, Limits(262144, 0, 0)),
    ("limits", [SMALL, SMALL], [], [], {}, Limits(204, 20_000, 32 * MIB)),
    ("a little limit", [{"limits": amounts("1m", "4Mi")}], [], [], {}, Limits(2, 1000, 4 * MIB)),
    ("limits of some", [SMALL, BARE], [], [], {}, Limits(153, 0, 0)),
    ("a limit of nothing", [SMALL, {"limits": amounts("0", "16Mi")}], [], [], {}, Limits(102, 0, 32 * MIB)),
    ("a larger step before", [SMALL, SMALL], [{"limits": amounts("1", "8Mi")}], [], {},
     Limits(1024, 100_000, 32 * MIB)),
    ("a step before without limits", [SMALL], [BARE], [], {}, Limits(102, 0, 0)),
    ("sidecars", [SMALL], [], [SMALL], {}, Limits(204, 20_000, 32 * MIB)),
    ("sidecars without limits", [SMALL], [], [BARE], {}, Limits(153, 0, 0)),
    ("its own", [SMALL, {}], [], [], {"limits": amounts("2", "1Gi")}, Limits(102, 200_000, GIB)),
    ("its own of one kind", [SMALL, {}], [], [], {"limits": amounts(memory="1Gi")}, Limits(102, 0, GIB)),
]  # fmt: skip


@pytest.mark.parametrize(
    ("regular", "once", "beside", "own", "wanted"), [pytest.param(*row[1:], id=row[0]) for row in WHOLES]
)
def test_what_a_pod_may_use_as_a_whole(
    regular: list[Any], once: list[Any], beside: list[Any], own: dict[str, Any], wanted: Limits
) -> None:
    made = pod("a")
    made["spec"]["containers"] = [{"name": f"c{place}", "resources": entry} for place, entry in enumerate(regular)]
    made["spec"]["initContainers"] = [
        *({"name": f"i{place}", "resources": entry} for place, entry in enumerate(once)),
        *({"name": f"s{place}", "resources": entry, "restartPolicy": "Always"} for place, entry in enumerate(beside)),
    ]
    if own:
        made["spec"]["resources"] = own
    assert pod_limits(made) == wanted


def test_what_the_runtime_itself_needs_counts_for_the_pod() -> None:
    made = pod("a")
    made["spec"] |= {"containers": [{"name": "c", "resources": SMALL}], "overhead": amounts("100m", "8Mi")}
    assert pod_limits(made) == Limits(204, 20_000, 24 * MIB)


SCORES = [
    ("best effort", {}, {}, 1000),
    ("burstable", {"requests": amounts("1m", "400Mi")}, {}, 600),
    ("burstable without memory", {"requests": amounts("1m")}, {}, 999),
    ("burstable with nearly all", {"requests": amounts("1m", "999Mi")}, {}, 3),
    ("guaranteed", {"limits": amounts("1m", "4Mi"), "requests": amounts("1m", "4Mi")}, {}, -997),
    ("critical for the node", {}, {"priority": 2_000_001_000, "priorityClassName": "system-node-critical"}, -997),
    ("critical for the cluster", {}, {"priority": 2_000_000_000, "priorityClassName": "system-cluster-critical"}, 1000),
]


@pytest.mark.parametrize(("resources", "more", "wanted"), [pytest.param(*row[1:], id=row[0]) for row in SCORES])
def test_how_willingly_the_kernel_ends_a_container(resources: Any, more: Any, wanted: int) -> None:
    made = pod("a")
    made["spec"] |= {"containers": [{"name": "app", "resources": resources}], **more}
    assert oom_score(made, made["spec"]["containers"][0], 1000 * MIB) == wanted


def test_a_container_without_limits_has_those_of_its_pod() -> None:
    made = pod("a")
    made["spec"]["resources"] = {"limits": {"cpu": "500m", "memory": "64Mi"}, "requests": {"memory": "48Mi"}}
    own = {"name": "own", "resources": {"limits": {"memory": "16Mi"}, "requests": {"cpu": "1", "memory": "8Mi"}}}
    made["spec"]["containers"] = [{"name": "bare"}, own]
    assert container_limits(made, {"name": "bare"}, 9) == Limits(512, 50_000, 64 * MIB, 9)
    assert container_limits(made, own, 0) == Limits(1024, 50_000, 16 * MIB)
    told = {
        name: resource_value(made, {}, {"resource": f"limits.{name}"}, {"memory": "1Gi"}) for name in ("cpu", "memory")
    }
    assert told == {"cpu": "1", "memory": str(64 * MIB)}


def test_what_a_pod_requests_as_a_whole_is_shared_out_in_the_oom_score() -> None:
    made = pod("a")
    own = {"name": "own", "resources": {"requests": {"memory": "100Mi"}}}
    side = {"name": "side", "restartPolicy": "Always"}
    made["spec"] |= {"containers": [own, {"name": "bare"}], "initContainers": [side]}
    node = 1000 * MIB
    assert [oom_score(made, one, node) for one in (own, {"name": "bare"}, side)] == [900, 999, 999]
    made["spec"]["resources"] = {"requests": {"memory": "400Mi"}}
    assert [oom_score(made, one, node) for one in (own, {"name": "bare"}, side)] == [800, 900, 900]


def test_a_sidecar_goes_no_sooner_than_those_that_it_is_there_for() -> None:
    made, side = pod("a"), {"name": "side", "restartPolicy": "Always"}
    made["spec"]["initContainers"] = [side]
    made["spec"]["containers"] = [
        {"name": name, "resources": {"requests": {"memory": memory}}}
        for name, memory in [("a", "200Mi"), ("b", "300Mi")]
    ]
    assert oom_score(made, side, 1000 * MIB) == 800


@pytest.mark.parametrize("version", [1, 2])
def test_what_a_pods_groups_count_and_take(tmp_path: Path, version: int) -> None:
    groups = PodCgroups("/host", tmp_path)
    files = {
        "cpuacct.usage": "9", "memory.usage_in_bytes": "100", "pids.current": "3",
        "cpu.stat": "nr_periods 5\nnr_throttled 2\nthrottled_time 3000\n",
        "memory.oom_control": "oom_kill_disable 0\noom_kill 1\n",
        "blkio.throttle.io_serviced": "8:0 Read 1\n8:0 Write 2\n8:16 Write 2\nTotal 5\n",
        "blkio.throttle.io_service_bytes": "8:0 Read 10\n8:0 Write 20\n8:16 Write 20\nTotal 50\n",
    }  # fmt: skip
    stat = {"memory.stat": "total_inactive_file 40\ntotal_rss 7\ntotal_swap 6\n"}
    if version == 2:
        (tmp_path / "cgroup.controllers").touch()
        files = {
            "cpu.stat": "usage_usec 9\nnr_periods 5\nnr_throttled 2\nthrottled_usec 3\n",
            "memory.current": "100", "pids.current": "3", "cgroup.procs": "", "memory.swap.current": "6",
            "memory.events": "oom 1\noom_kill 1\n",
            "io.stat": "8:0 rbytes=10 wbytes=20 rios=1 wios=2\n8:16 rbytes=0 wbytes=20 rios=0 wios=2\n",
        }  # fmt: skip
        stat = {"memory.stat": "inactive_file 40\nanon 7\n"}
    for controller in ("cpu", "cpuacct", "memory", "pids", "blkio") if version == 1 else (".",):
        inner = tmp_path / controller / "host/kubepods/burstable/podu1/libpod-c1"
        inner.mkdir(parents=True)
        (tmp_path / controller / "cgroup.procs").touch()
        (inner.parent / "libpod-conmon-c1").mkdir()
        for directory in (inner, inner.parent):
            for name, text in (files | stat).items():
                (directory / name).write_text(text)
            for name in ("memory.limit_in_bytes", "cpu.shares", "cpu.weight", "memory.max", "cpu.max"):
                (directory / name).touch()
    found = pod_usage(groups, "u1", ["c1"], 5.0)
    assert found is not None
    use = found.containers["c1"]
    assert (use.cpu_nanoseconds, use.working_set, use.resident, use.processes) == (
        9 if version == 1 else 9000,
        60,
        7,
        3,
    )
    assert (use.swap, use.out_of_memory) == (6, 1)
    assert (use.throttling, use.disk) == (Throttling(5, 2, 3000), DiskTraffic(1, 4, 10, 40))
    assert groups.known() == {"u1"}
    groups.limit("/host/kubepods/burstable/podu1", Limits(1024, 0, 64 * MIB))
    file = "memory/host/kubepods/burstable/podu1/memory.limit_in_bytes" if version == 1 else (
        "host/kubepods/burstable/podu1/memory.max")  # fmt: skip
    assert (tmp_path / file).read_text() == str(64 * MIB)


def test_a_container_is_counted_where_crun_limits_it_within_its_scope(tmp_path: Path) -> None:
    (tmp_path / "cgroup.controllers").touch()
    scope = tmp_path / "kubepods.slice/kubepods-podu1.slice/libpod-c1.scope"
    (scope / "container").mkdir(parents=True)
    for group, limit, waited in ((scope, "max", 0), (scope / "container", f"{64 * MIB}", 250)):
        (group / "memory.max").write_text(limit)
        (group / "memory.current").write_text("100")
        (group / "cpu.stat").write_text(f"usage_usec 9\nnr_periods 300\nnr_throttled {waited}\n")
    found = pod_usage(PodCgroups("", tmp_path), "u1", ["c1"], 5.0)
    assert found is not None
    assert (found.containers["c1"].memory_limit, found.containers["c1"].throttling.throttled) == (64 * MIB, 250)


def test_the_classes_of_pods_share_the_cpu_by_what_they_request(tmp_path: Path) -> None:
    machine, reserved = Machine(cpus=4, memory=8 * GIB, disk=0), {"cpu": "500m", "memory": "1Gi"}
    sure = {"requests": amounts("2", "1Gi"), "limits": amounts("2", "1Gi")}
    pods = [pod("a", cpu="250m"), pod("b", cpu="750m"), pod("c"), pod("done", cpu="3"), pod("sure")]
    pods[3]["status"]["phase"] = "Succeeded"
    pods[4]["spec"]["containers"][0]["resources"] = sure
    whole = Limits(3584, 0, 7 * GIB)
    assert tiers.wanted(pods, machine, reserved) == {"": whole, "burstable": Limits(1024), "besteffort": Limits(2)}
    told: list[str] = []
    for systemd, groups in ((True, PodCgroups("", tmp_path, lambda words: told.append(" ".join(words)))),
                            (False, PodCgroups("/host", tmp_path))):  # fmt: skip
        (tmp_path / "cpu").mkdir(exist_ok=True)
        kept = tiers.Tiers(groups, lambda: pods, lambda: machine, reserved, systemd)
        kept.keep()
        kept.keep()
    assert told == [
        f"set-property --runtime kubepods.slice CPUWeight=272 CPUQuota= MemoryMax={7 * GIB} TasksMax=infinity",
        "set-property --runtime kubepods-burstable.slice CPUWeight=100 CPUQuota= MemoryMax=infinity TasksMax=infinity",
        "set-property --runtime kubepods-besteffort.slice CPUWeight=1 CPUQuota= MemoryMax=infinity TasksMax=infinity",
    ]
    assert {str(path.relative_to(tmp_path)) for path in (tmp_path / "cpu").rglob("*")} == {
        "cpu/host", "cpu/host/kubepods", "cpu/host/kubepods/burstable", "cpu/host/kubepods/besteffort"
    }  # fmt: skip


@pytest.mark.parametrize(("used", "limit"), [(7 * GIB, str(7 * GIB)), (7 * GIB + 1, "max")])
def test_running_pods_are_not_held_to_less_memory_than_they_use(tmp_path: Path, used: int, limit: str) -> None:
    (tmp_path / "cgroup.controllers").touch()
    (tmp_path / "kubepods").mkdir()
    (tmp_path / "kubepods" / "memory.current").write_text(str(used))
    (tmp_path / "kubepods" / "memory.max").write_text("max")
    machine = Machine(cpus=4, memory=8 * GIB, disk=0)
    tiers.Tiers(PodCgroups("", tmp_path), list, lambda: machine, {"memory": "1Gi"}, systemd=False).keep()
    assert (tmp_path / "kubepods" / "memory.max").read_text() == limit


def test_the_slice_of_a_pod_is_systemds_to_limit_and_to_end(tmp_path: Path) -> None:
    told: list[str] = []
    groups = PodCgroups("", tmp_path, lambda words: told.append(" ".join(words)))
    (tmp_path / "cgroup.controllers").touch()
    uid = "0a1b-2c3d"
    made = {"metadata": {"uid": uid}, "spec": {"containers": []}, "status": {"qosClass": "Burstable"}}
    name = cgroup_parent(made, systemd=True)
    directory = tmp_path / "kubepods.slice" / "kubepods-burstable.slice" / name
    directory.mkdir(parents=True)
    groups.limit(name, Limits(1024, 25_000, 64 * MIB, 9))
    groups.limit(name, Limits())
    assert (groups.known(), groups.controllers(uid)) == ({uid}, {"": directory})
    groups.remove(uid)
    assert told == [
        f"set-property --runtime {name} CPUWeight=100 CPUQuota=25% MemoryMax={64 * MIB} TasksMax=9",
        f"set-property --runtime {name} CPUWeight=1 CPUQuota= MemoryMax=infinity TasksMax=infinity",
        f"stop {name}",
        f"revert {name}",
    ]


# Shares, CPU quota, memory and processes, and what version 2 has in place of version 1's files.
UNIFIED = [
    (Limits(), ("1", "max 100000", "max", "max")),
    (Limits(2, 0, 0, 0), ("1", "max 100000", "max", "max")),
    (Limits(1024, 25_000, 64 * MIB, 9), ("100", "25000 100000", str(64 * MIB), "9")),
    (Limits(262144), ("10000", "max 100000", "max", "max")),
    *((Limits(shares), (str(weight), "max 100000", "max", "max"))
      for shares, weight in [(102, 17), (256, 35), (512, 59), (2048, 174), (3584, 272), (8192, 532)]),
]  # fmt: skip


@pytest.mark.parametrize(("limits", "written"), UNIFIED)
def test_every_limit_has_its_file_in_cgroups_of_version_2(
    tmp_path: Path, limits: Limits, written: tuple[str, ...]
) -> None:
    (tmp_path / "cgroup.controllers").write_text("cpuset cpu memory rdma\n")
    (tmp_path / "cgroup.subtree_control").write_text("cpu\n")
    pods = tmp_path / "kubepods"
    group = pods / "podu1"
    group.mkdir(parents=True)
    for name in ("cpu.weight", "cpu.max", "memory.max", "pids.max"):
        (group / name).touch()
    (pods / "cgroup.controllers").write_text("cpu memory pids hugetlb io\n")
    (pods / "cgroup.subtree_control").touch()
    PodCgroups("", tmp_path).limit("/kubepods/podu1", limits)
    assert tuple((group / name).read_text() for name in ("cpu.weight", "cpu.max", "memory.max", "pids.max")) == written
    # A controller that a group does not have must not cost those within it the others.
    assert (tmp_path / "cgroup.subtree_control").read_text() == "+cpuset +memory"
    assert (pods / "cgroup.subtree_control").read_text() == "+cpu +io +memory +hugetlb +pids"


def test_a_container_ends_as_a_whole_for_want_of_memory_where_groups_can_say_so() -> None:
    said = {"memory.oom.group": "1"}
    for unified in (False, True):
        limits = Limits(memory=64 * MIB, ends_whole=unified)
        assert podman_spec.resource_limits(limits).get("unified", {}) == cri_spec.resources(limits)["unified"] == (
            said if unified else {}
        )  # fmt: skip


@pytest.mark.parametrize(("short", "freed", "readings"), [("", 0, 1), ("memory", 0, 1), ("disk", 0, 2), ("disk", 9, 2)])
def test_a_look_at_the_node_is_one_reading_and_one_more_after_room_was_made(
    short: str, freed: int, readings: int
) -> None:
    left = {"memory": 9, "disk": 9} | ({short: 1} if short else {})
    read: list[Pressure] = []
    evicted: list[str] = []
    apart: set[bool] = set()

    def pressure() -> Pressure:
        read.append(Pressure(left["memory"], left["disk"], 10, 9, memory_total=10, images_apart=False))
        return read[-1]

    def use(one: dict[str, Any], images_apart: bool) -> Use:
        apart.add(images_apart)
        return Use(memory={"app": 1})

    pods = [pod(name) for name in "abc"]
    node = Node(
        pressure, lambda: pods, use, lambda: left.update(disk=left["disk"] + freed),
        lambda one, _: evicted.append(one["metadata"]["name"]),
    )  # fmt: skip
    thresholds = parse_thresholds("memory.available<5,nodefs.available<5")
    EvictionManager(SystemRuntime(), node, thresholds, 0.0, lambda: None).look()
    assert (len(read), len(evicted)) == (readings, 1 if short and not freed else 0)
    assert apart <= {False}


def test_a_clock_is_held_against_the_servers() -> None:
    def server(environ: Any, start: Any) -> list[bytes]:
        """Answers at once, by a clock that is a minute ahead."""
        start("200 OK", [("Date", formatdate(clock.time() + 60, usegmt=True))])
        return [b"{}"]

    clock = SystemRuntime()
    dated = clock_skew.DatedTransport(WsgiTransport(server), clock)
    dated.send(Request("GET", "/"))
    assert 58 < dated.skew < 62 and "behind" in clock_skew.sentence(dated.skew)


def test_a_pods_interfaces_are_read() -> None:
    text = "Inter-|\n face |\n    lo: 9 1 0 0 0 0 0 0 9 1 0 0\n  eth0: 100 1 2 0 0 0 0 0 200 3 4 0\n"
    assert interfaces(text) == {"eth0": Interface(100, 2, 200, 4, 1, 0, 3, 0)}


def test_regular_pods_end_before_critical_ones() -> None:
    pods = [pod("a"), pod("b", 2_000_000_000), pod("done") | {"status": {"phase": "Succeeded"}}]
    found = shutdown.groups(pods, shutdown.Grace(30, 10))
    assert [([p["metadata"]["name"] for p in group.pods], group.seconds) for group in found] == [
        (["a"], 20),
        (["b"], 10),
    ]


@pytest.mark.parametrize(
    ("skew", "wanted"),
    [(0, ""), (4.9, ""), (-3, ""), (60, "60 s behind the API server's"), (-7, "7 s ahead of the API server's")],
)
def test_a_clock_that_goes_apart_is_said(skew: float, wanted: str) -> None:
    found = clock_skew.sentence(skew)
    assert wanted in found and bool(found) == bool(wanted)


def test_a_file_of_two_names_takes_its_room_once(tmp_path: Path) -> None:
    (tmp_path / "0.log").write_bytes(b"x" * 8192)
    before = disk_use(tmp_path)
    (tmp_path / "0.log.held").hardlink_to(tmp_path / "0.log")
    assert disk_use(tmp_path) == before


def test_what_goes_while_a_directory_is_looked_through_leaves_the_rest_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        (tmp_path / f"kept{number}").write_bytes(b"x" * 8192)
    before, listed = disk_use(tmp_path), os.scandir

    @contextmanager
    def removing_first(path: str) -> Iterator[list[os.DirEntry[str]]]:
        (tmp_path / "gone").touch()
        with listed(path) as entries:
            found = sorted(entries, key=lambda entry: entry.name)
        (tmp_path / "gone").unlink()
        yield found

    monkeypatch.setattr(os, "scandir", removing_first)
    assert disk_use(tmp_path) == before
