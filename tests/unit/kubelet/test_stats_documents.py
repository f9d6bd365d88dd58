"""What /stats/summary and the metrics say of samples, as small documents."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from agents.kubelet.exposition import OwnMetrics, cadvisor_metrics, probe_metrics, resource_metrics
from agents.kubelet.machine import Machine, Pressure
from agents.kubelet.pods.view import PodView
from agents.kubelet.processes import System, of_processes
from agents.kubelet.runtime.interface import Container, PodIdentity, Sandbox, State, Written
from agents.kubelet.sampling import NodeUse, Sample
from agents.kubelet.stats import PodDisk, summary
from agents.kubelet.usage import DiskUse, Interface, PodUsage, Space, Stalled, Stalls, Usage, stalls

pytestmark = pytest.mark.unit

IDENTITY = PodIdentity("web", "default", "u1")
POD = {"metadata": {"name": "web", "namespace": "default", "uid": "u1"}, "spec": {"containers": [{"name": "app"}]}}
VIEW = PodView(
    Sandbox("s", IDENTITY, 0, State.RUNNING, 90.0),
    (),
    (Container("c", IDENTITY, "app", 0, "s", State.RUNNING, "x:1", "sha256:x", started=90.0),),
)
NANO = 1_000_000_000


def sample(time: float, seconds: float, *, pod: bool = True) -> Sample:
    use = Usage(time, int(seconds * NANO), 100, 60, 40, processes=2)
    pods = {"u1": PodUsage(use, {"c": use}, {"eth0": Interface(1, 0, 2, 0)})} if pod else {}
    return Sample(NodeUse(time, int(10 * seconds * NANO), 500, 1000), pods)


@pytest.mark.parametrize(
    ("before", "rate"), [(sample(100.0, 1.0), 0.1), (sample(100.0, 1.0, pod=False), 0.1)], ids=["known", "new"]
)
def test_rates_are_of_two_samples_or_of_a_life(before: Sample, rate: float) -> None:
    claims = {"d": ("data", Space(100, 60, 10, 4))}
    disks = {"u1": PodDisk({"app": DiskUse(10, 1)}, {"c": Written(5, 3)}, {"v": DiskUse(20, 2)}, claims)}
    found = summary("n", [POD], {"u1": VIEW}, (sample(110.0, 2.0), before), Pressure(1, 2, 3, 4), disks)
    (pod,) = found["pods"]
    assert pod["containers"][0]["cpu"]["usageNanoCores"] == rate * NANO
    assert found["node"]["cpu"]["usageNanoCores"] == NANO
    assert pod["ephemeral-storage"]["usedBytes"] == 35
    assert pod["volume"][1] == {"name": "d", "time": pod["volume"][0]["time"], "pvcRef": {"name": "data", "namespace":
        "default"}, "availableBytes": 60, "capacityBytes": 100, "usedBytes": 40, "inodesFree": 4, "inodes": 10,
        "inodesUsed": 6}  # fmt: skip
    assert (pod["network"]["name"], pod["network"]["txBytes"]) == ("eth0", 2)


def test_every_part_tells_what_is_left_for_it() -> None:
    spaces = {"v": Space(50, 30, 8, 3)}
    disks = {"u1": PodDisk({"app": DiskUse(10, 1)}, {"c": Written(5, 3)}, {"v": DiskUse(20, 2)}, {}, spaces)}
    pressure = Pressure(1, 200, 300, 4, 0, 20, 30, 2000, 3000, 200, 300)
    use = Usage(110.0, 2 * NANO, 100, 60, 40, 7, 1, 2, swap=9, memory_limit=100)
    links = {"eth0": Interface(1, 0, 2, 0), "away": Interface(3)}
    node = NodeUse(110.0, 20 * NANO, 500, 1000, 50.0, 300, 70, 5, links, "eth0")
    now = Sample(node, {"u1": PodUsage(use, {"c": use}, {})}, {"pods": System(60.0, use)})
    before = Sample(NodeUse(100.0, 10 * NANO, 500, 1000))
    found = summary("n", [POD], {"u1": VIEW}, (now, before), pressure, disks)
    (told,) = found["pods"]
    (container,) = told["containers"]
    assert container["memory"]["availableBytes"] == 40 and container["swap"]["swapUsageBytes"] == 9
    amounts = ("usedBytes", "availableBytes", "capacityBytes", "inodesFree", "inodes", "inodesUsed")
    assert [[part[name] for name in amounts] for part in (
        container["rootfs"], container["logs"], told["volume"][0], told["ephemeral-storage"], found["node"]["fs"],
        found["node"]["runtime"]["imageFs"], found["node"]["runtime"]["containerFs"],
    )] == [
        [5, 2000, 3000, 200, 300, 3], [10, 200, 300, 20, 30, 1], [20, 30, 50, 3, 8, 2], [35, 200, 300, 20, 30, 6],
        [100, 200, 300, 20, 30, 10], [1000, 2000, 3000, 200, 300, 100], [1000, 2000, 3000, 200, 300, 100],
    ]  # fmt: skip
    (system,) = found["node"]["systemContainers"]
    assert (system["name"], system["cpu"]["usageNanoCores"]) == ("pods", 2 * NANO // 50)
    assert (system["memory"]["availableBytes"], system["memory"]["pageFaults"]) == (40, 7)
    assert found["node"]["memory"]["rssBytes"] == 300 and found["node"]["memory"]["majorPageFaults"] == 5
    network = found["node"]["network"]
    assert (network["name"], [entry["name"] for entry in network["interfaces"]]) == ("eth0", ["away", "eth0"])


PSI = "some avg10=1.50 avg60=0.25 avg300=0.00 total=42\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=7\n"


def test_waiting_and_swap_are_told_where_the_kernel_counts_them() -> None:
    waited = stalls(PSI)
    assert waited == Stalls(Stalled(42, 1.5, 0.25), Stalled(7)) and stalls("") is None
    use = Usage(110.0, swap=9, swap_limit=10, stalls={"cpu": waited, "memory": waited, "io": waited})
    node = NodeUse(110.0, 0, 500, 1000, swap_used=3, swap_free=4, stalls={"io": waited})
    now = Sample(node, {"u1": PodUsage(use, {"c": use}, {})})
    disks = {"u1": PodDisk({}, {"c": Written(5)}, {"v": DiskUse(20, 2), "m": DiskUse(9, 9)}, in_memory=frozenset("m"))}
    found = summary("n", [POD], {"u1": VIEW}, (now, now), Pressure(1, 2, 3, 4), disks)
    (told,) = found["pods"]
    shown = {
        "some": {"total": 42, "avg10": 1.5, "avg60": 0.25, "avg300": 0.0},
        "full": {"total": 7, "avg10": 0.0, "avg60": 0.0, "avg300": 0.0},
    }
    for part in (told, told["containers"][0]):
        assert [part[name]["psi"] for name in ("cpu", "memory", "io")] == [shown] * 3
        assert (part["swap"]["swapUsageBytes"], part["swap"]["swapAvailableBytes"]) == (9, 1)
    assert found["node"]["io"]["psi"] == shown and "psi" not in found["node"]["cpu"]
    assert (found["node"]["swap"]["swapUsageBytes"], found["node"]["swap"]["swapAvailableBytes"]) == (3, 4)
    assert (told["ephemeral-storage"]["usedBytes"], told["ephemeral-storage"]["inodesUsed"]) == (25, 2)
    # A runtime that does not count files says nothing of them.
    assert "inodesUsed" not in told["containers"][0]["rootfs"]


def test_a_part_of_the_system_is_the_sum_of_its_processes(tmp_path: Path) -> None:
    for process, ticks in ((7, 100), (8, 50)):
        (tmp_path / str(process)).mkdir()
        words = ["S", *["0"] * 6, "3", "0", "2", "0", f"{ticks}", "20", *["0"] * 6, f"{ticks * 10}", "0", "4", "0"]
        (tmp_path / str(process) / "stat").write_text(f"{process} (a b) c) {' '.join(words)}")
    found = of_processes([7, 8, 9], 1000.0, 2000.0, tmp_path)
    tick, page = os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PAGE_SIZE")
    assert found is not None and found.started == 1000 + 500 / tick
    use = found.use
    assert (use.cpu_nanoseconds, use.resident) == (190 * NANO // tick, 8 * page)
    assert (use.page_faults, use.major_page_faults) == (10, 4)
    assert of_processes([9], 1000.0, 2000.0, tmp_path) is None


def test_volumes_behind_claims_are_told_by_their_claims_names() -> None:
    registry = CollectorRegistry()
    registry.register(OwnMetrics("n", dict, lambda: {("default", "data"): Space(100, 60, 10, 4)}))
    text = generate_latest(registry).decode()
    labels = '{namespace="default",persistentvolumeclaim="data"}'
    for name, amount in [("capacity_bytes", 100), ("available_bytes", 60), ("used_bytes", 40), ("inodes_used", 6)]:
        assert f"kubelet_volume_stats_{name}{labels} {amount}.0\n" in text


def test_metrics_have_the_names_that_dashboards_know() -> None:
    now = sample(100.0, 1.5)
    labels = 'container="app",namespace="default",pod="web"'
    resource = resource_metrics([POD], {"u1": VIEW}, now)
    assert f"container_cpu_usage_seconds_total{{{labels}}} 1.5 100000\n" in resource
    assert 'pod_memory_working_set_bytes{namespace="default",pod="web"} 60 100000\n' in resource
    assert resource.count("# TYPE container_cpu_usage_seconds_total counter\n") == 1
    cadvisor = cadvisor_metrics([POD], {"u1": VIEW}, now, Machine(cpus=2, memory=9, disk=1))
    assert 'interface="eth0"' in cadvisor and "machine_cpu_cores 2\n" in cadvisor
    probes = probe_metrics({("default", "web", "u1", "app", "liveness", "failed"): 3})
    assert 'probe_type="Liveness",result="failed"} 3\n' in probes
