"""What /stats/summary and the metrics say of samples, as small documents."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from agents.kubelet.exposition import OwnMetrics, cadvisor_metrics, probe_metrics, resource_metrics
from agents.kubelet.machine import Machine, Pressure
from agents.kubelet.pods.view import PodView
from agents.kubelet.runtime.interface import Container, PodIdentity, Sandbox, State
from agents.kubelet.sampling import NodeUse, Sample
from agents.kubelet.stats import PodDisk, summary
from agents.kubelet.usage import DiskUse, Interface, PodUsage, Space, Usage

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
    disks = {"u1": PodDisk({"app": DiskUse(10, 1)}, {"c": 5}, {"v": DiskUse(20, 2)}, claims)}
    found = summary("n", [POD], {"u1": VIEW}, (sample(110.0, 2.0), before), Pressure(1, 2, 3, 4), disks)
    (pod,) = found["pods"]
    assert pod["containers"][0]["cpu"]["usageNanoCores"] == rate * NANO
    assert found["node"]["cpu"]["usageNanoCores"] == NANO
    assert pod["ephemeral-storage"]["usedBytes"] == 35
    assert pod["volume"][1] == {"name": "d", "time": pod["volume"][0]["time"], "pvcRef": {"name": "data", "namespace":
        "default"}, "availableBytes": 60, "capacityBytes": 100, "usedBytes": 40, "inodesFree": 4, "inodes": 10,
        "inodesUsed": 6}  # fmt: skip
    assert (pod["network"]["name"], pod["network"]["txBytes"]) == ("eth0", 2)


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
