"""The metrics that scrapers read from a kubelet, as Prometheus text: resource, cadvisor, probes and its own.

Invariant: pure; names and labels are the original's, so that ready-made dashboards work.
Source: kubelet/metrics/collectors resource_metrics.go; cAdvisor's Prometheus metrics; prober's metrics.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from agents.kubelet.machine import Machine
from agents.kubelet.pods import spec
from agents.kubelet.pods.limits import container_limits
from agents.kubelet.pods.view import PodView
from agents.kubelet.runtime.interface import Container
from agents.kubelet.sampling import Sample
from agents.kubelet.usage import PodUsage, Space, Usage
from api.objects import Object, name_of, namespace_of, uid_of

_NANO = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Measured:
    """One running container with its pod and its use."""

    pod: Object
    container: Container
    use: Usage


class _Text:
    """Lines grouped by metric, as the format wants them."""

    def __init__(self) -> None:
        self._families: dict[str, list[str]] = {}

    def add(self, name: str, kind: str, labels: Mapping[str, str], value: float, time: float | None = None) -> None:
        family = self._families.setdefault(name, [f"# TYPE {name} {kind}"])
        inner = ",".join(f'{key}="{_escaped(text)}"' for key, text in sorted(labels.items()))
        moment = "" if time is None else f" {int(time * 1000)}"
        shown = repr(value) if isinstance(value, float) else str(value)
        family.append(f"{name}{{{inner}}} {shown}{moment}" if inner else f"{name} {shown}{moment}")

    def __str__(self) -> str:
        return "".join(f"{line}\n" for family in self._families.values() for line in family)


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def measured(pods: list[Object], views: Mapping[str, PodView], sample: Sample) -> Iterator[Measured]:
    """Every running container that the sample knows."""
    for pod in pods:
        use = sample.pods.get(uid_of(pod))
        for found in views.get(uid_of(pod), PodView()).running():
            if use is not None and found.id in use.containers:
                yield Measured(pod, found, use.containers[found.id])


def _pod_labels(pod: Object) -> dict[str, str]:
    return {"namespace": namespace_of(pod), "pod": name_of(pod)}


def resource_metrics(pods: list[Object], views: Mapping[str, PodView], now: Sample) -> str:
    """/metrics/resource."""
    text, node = _Text(), now.node
    text.add("node_cpu_usage_seconds_total", "counter", {}, node.cpu_nanoseconds / _NANO, node.time)
    text.add("node_memory_working_set_bytes", "gauge", {}, node.memory_used, node.time)
    for entry in measured(pods, views, now):
        use, labels = entry.use, _pod_labels(entry.pod) | {"container": entry.container.name}
        text.add("container_cpu_usage_seconds_total", "counter", labels, use.cpu_nanoseconds / _NANO, use.time)
        text.add("container_memory_working_set_bytes", "gauge", labels, use.working_set, use.time)
        text.add("container_start_time_seconds", "gauge", labels, entry.container.started, use.time)
    for pod in pods:
        found = now.pods.get(uid_of(pod))
        if found is not None:
            labels, whole = _pod_labels(pod), found.pod
            text.add("pod_cpu_usage_seconds_total", "counter", labels, whole.cpu_nanoseconds / _NANO, whole.time)
            text.add("pod_memory_working_set_bytes", "gauge", labels, whole.working_set, whole.time)
    text.add("scrape_error", "gauge", {}, 0)
    text.add("resource_scrape_error", "gauge", {}, 0)
    return str(text)


def cadvisor_metrics(pods: list[Object], views: Mapping[str, PodView], now: Sample, machine: Machine) -> str:
    """/metrics/cadvisor: the part of cAdvisor's metrics that dashboards of pods use."""
    text = _Text()
    text.add("machine_cpu_cores", "gauge", {}, machine.cpus)
    text.add("machine_memory_bytes", "gauge", {}, machine.memory)
    root = {"id": "/", "container": "", "image": "", "name": "", "namespace": "", "pod": ""}
    text.add("container_cpu_usage_seconds_total", "counter", root | {"cpu": "total"},
             now.node.cpu_nanoseconds / _NANO, now.node.time)  # fmt: skip
    text.add("container_memory_working_set_bytes", "gauge", root, now.node.memory_used, now.node.time)
    for entry in measured(pods, views, now):
        found = entry.container
        labels = _pod_labels(entry.pod) | {
            "container": found.name,
            "id": f"/kubepods/pod{uid_of(entry.pod)}/{found.id}",
            "image": found.image,
            "name": found.id,
        }
        _container(text, labels, entry.use)
        described = spec.find_container(entry.pod, found.name)
        if described is not None:
            limits = container_limits(entry.pod, described, 0)
            text.add("container_spec_memory_limit_bytes", "gauge", labels, limits.memory)
            text.add("container_spec_cpu_shares", "gauge", labels, limits.cpu_shares)
            if limits.cpu_quota:
                text.add("container_spec_cpu_quota", "gauge", labels, limits.cpu_quota)
                text.add("container_spec_cpu_period", "gauge", labels, 100_000)
        text.add("container_start_time_seconds", "gauge", labels, found.started)
        text.add("container_last_seen", "gauge", labels, int(entry.use.time))
    for pod in pods:
        use = now.pods.get(uid_of(pod))
        if use is not None:
            _pod(text, pod, use)
    return str(text)


def _container(text: _Text, labels: Mapping[str, str], use: Usage) -> None:
    total = {**labels, "cpu": "total"}
    text.add("container_cpu_usage_seconds_total", "counter", total, use.cpu_nanoseconds / _NANO, use.time)
    text.add("container_memory_usage_bytes", "gauge", labels, use.memory, use.time)
    text.add("container_memory_working_set_bytes", "gauge", labels, use.working_set, use.time)
    text.add("container_memory_rss", "gauge", labels, use.resident, use.time)
    text.add("container_memory_cache", "gauge", labels, max(0, use.memory - use.resident), use.time)
    text.add("container_memory_swap", "gauge", labels, use.swap, use.time)
    text.add("container_oom_events_total", "counter", labels, use.out_of_memory, use.time)
    text.add("container_processes", "gauge", labels, use.processes, use.time)
    quota = use.throttling
    text.add("container_cpu_cfs_periods_total", "counter", labels, quota.periods, use.time)
    text.add("container_cpu_cfs_throttled_periods_total", "counter", labels, quota.throttled, use.time)
    text.add("container_cpu_cfs_throttled_seconds_total", "counter", labels, quota.nanoseconds / _NANO, use.time)
    for metric, value in (
        ("reads", use.disk.reads),
        ("writes", use.disk.writes),
        ("reads_bytes", use.disk.read_bytes),
        ("writes_bytes", use.disk.written_bytes),
    ):
        text.add(f"container_fs_{metric}_total", "counter", {**labels, "device": ""}, value, use.time)


def _pod(text: _Text, pod: Object, use: PodUsage) -> None:
    own = {"container": "", "id": f"/kubepods/pod{uid_of(pod)}", "image": "", "name": ""}
    labels = _pod_labels(pod) | own
    _container(text, labels, use.pod)
    for name, counters in sorted(use.network.items()):
        wire = labels | {"interface": name}
        for metric, value in (
            ("receive_bytes", counters.received_bytes),
            ("receive_errors", counters.received_errors),
            ("receive_packets", counters.received_packets),
            ("receive_packets_dropped", counters.received_dropped),
            ("transmit_bytes", counters.sent_bytes),
            ("transmit_errors", counters.sent_errors),
            ("transmit_packets", counters.sent_packets),
            ("transmit_packets_dropped", counters.sent_dropped),
        ):
            text.add(f"container_network_{metric}_total", "counter", wire, value, use.pod.time)


def probe_metrics(counts: Mapping[tuple[str, str, str, str, str, str], int]) -> str:
    """/metrics/probes; counts by (namespace, pod, uid, container, kind of probe, result)."""
    text = _Text()
    for (namespace, pod, uid, container, kind, result), count in sorted(counts.items()):
        labels = {"namespace": namespace, "pod": pod, "pod_uid": uid, "container": container}
        labels |= {"probe_type": kind.capitalize(), "result": result}
        text.add("prober_probe_total", "counter", labels, count)
    return str(text)


class OwnMetrics(Collector):
    """What the kubelet's own /metrics says of it beside its process. `look()` gives the runtime's views.

    `claims()` gives the file systems that volumes lie on, by their claims' namespace and name.
    """

    def __init__(
        self,
        node: str,
        look: Callable[[], Mapping[str, PodView]],
        claims: Callable[[], Mapping[tuple[str, str], Space]],
    ) -> None:
        self._node = node
        self._look = look
        self._claims = claims

    def collect(self) -> Iterator[Metric]:
        """The families of one scrape."""
        found = self._look()
        states: dict[str, int] = {}
        for container in (entry for view in found.values() for entry in view.containers):
            states[container.state.value] = states.get(container.state.value, 0) + 1
        name = GaugeMetricFamily("kubelet_node_name", "The node's name. The count is always 1.", labels=["node"])
        name.add_metric([self._node], 1)
        yield name
        running = sum(1 for view in found.values() if view.running())
        yield GaugeMetricFamily("kubelet_running_pods", "Number of pods that have a running container", running)
        containers = GaugeMetricFamily(
            "kubelet_running_containers", "Number of containers by state", labels=["container_state"]
        )
        for state, count in sorted(states.items()):
            containers.add_metric([state], count)
        yield containers
        yield from _volume_metrics(self._claims())


_VOLUME: tuple[tuple[str, str, Callable[[Space], int]], ...] = (
    ("capacity_bytes", "Capacity in bytes of the volume", lambda found: found.bytes),
    ("available_bytes", "Number of available bytes in the volume", lambda found: found.bytes_free),
    ("used_bytes", "Number of used bytes in the volume", lambda found: found.bytes - found.bytes_free),
    ("inodes", "Maximum number of inodes in the volume", lambda found: found.inodes),
    ("inodes_free", "Number of free inodes in the volume", lambda found: found.inodes_free),
    ("inodes_used", "Number of used inodes in the volume", lambda found: found.inodes - found.inodes_free),
)


def _volume_metrics(claims: Mapping[tuple[str, str], Space]) -> Iterator[Metric]:
    for name, said, amount in _VOLUME:
        family = GaugeMetricFamily(f"kubelet_volume_stats_{name}", said, labels=["namespace", "persistentvolumeclaim"])
        for claim, found in sorted(claims.items()):
            family.add_metric(claim, amount(found))
        yield family
