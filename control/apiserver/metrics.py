"""What /metrics tells of requests, under the original's names.

Invariant: a request costs two dictionary look-ups and a few additions; label sets and samples are made when somebody
asks for them.
Source: "Kubernetes Metrics Reference" (apiserver_request_total and its neighbours, all of stability STABLE).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from itertools import accumulate

from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from api.registry import Registry
from control.apiserver.cache import Cache
from control.apiserver.flow.control import FlowControl
from control.apiserver.request import Request

_BUCKETS = (
    0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 15.0, 20.0, 30.0,
    45.0, 60.0,
)  # fmt: skip
_BOUNDS = [str(bound) for bound in _BUCKETS] + ["+Inf"]
_READS = frozenset({"get", "list", "watch"})
_VERBS = {"create": "POST", "update": "PUT", "proxy": "CONNECT"}
_LABELS = ("verb", "dry_run", "group", "version", "resource", "subresource", "scope", "component")
_DURATION_LABELS = ("verb", "group", "version", "resource", "subresource", "scope", "component", "dry_run")

_Key = tuple[str, ...]


class RequestMetrics:
    """Counts requests under way and answered."""

    def __init__(self) -> None:
        self._counts: dict[_Key, int] = {}
        self._spread: dict[_Key, list[float]] = {}
        self.under_way = {"mutating": 0, "readOnly": 0}

    def begin(self, request: Request) -> str:
        """A request came; hand what this returns to `end`."""
        kind = "readOnly" if request.info.verb in _READS else "mutating"
        self.under_way[kind] += 1
        return kind

    def end(self, kind: str, request: Request, status: int, seconds: float) -> None:
        """The head of its answer is known after `seconds`."""
        self.under_way[kind] -= 1
        info = request.info
        if not info.resource:
            return
        scope = "resource" if info.name else "namespace" if info.namespace else "cluster"
        verb = _VERBS.get(info.verb) or info.verb.upper()
        dry_run = "All" if "dryRun=All" in (request.environ.get("QUERY_STRING") or "") else ""
        key = (verb, dry_run, info.group, info.version, info.resource, info.subresource, scope, "apiserver")
        counted = (*key, str(status))
        self._counts[counted] = self._counts.get(counted, 0) + 1
        if info.verb != "watch":
            spread = self._spread.get(key)
            if spread is None:
                spread = self._spread[key] = [0.0] * (len(_BUCKETS) + 2)
            spread[bisect_left(_BUCKETS, seconds)] += 1
            spread[-1] += seconds

    def collect(self) -> Iterator[Metric]:
        """The samples of this moment."""
        counts, spreads = dict(self._counts), {key: list(spread) for key, spread in self._spread.items()}
        total = CounterMetricFamily(
            "apiserver_request_total",
            "Counter of apiserver requests broken out for each verb, dry run value, group, version, resource, scope, "
            "component, and HTTP response code.",
            labels=(*_LABELS, "code"),
        )
        for counted, count in counts.items():
            total.add_metric(counted, count)
        yield total
        durations = HistogramMetricFamily(
            "apiserver_request_duration_seconds",
            "Response latency distribution in seconds for each verb, dry run value, group, version, resource, "
            "subresource, scope and component.",
            labels=_DURATION_LABELS,
        )
        for key, spread in spreads.items():
            buckets = list(zip(_BOUNDS, accumulate(spread[:-1]), strict=True))
            durations.add_metric((key[0], *key[2:], key[1]), buckets, spread[-1])
        yield durations
        inflight = GaugeMetricFamily(
            "apiserver_current_inflight_requests",
            "Maximal number of currently used inflight request limit of this apiserver per request kind in last "
            "second.",
            labels=("request_kind",),
        )
        for kind, number in self.under_way.items():
            inflight.add_metric((kind,), number)
        yield inflight


class _Requests(Collector):
    def __init__(self, metrics: RequestMetrics) -> None:
        self._metrics = metrics

    def collect(self) -> Iterator[Metric]:
        return self._metrics.collect()


class _Objects(Collector):
    """How many objects of each resource are stored."""

    def __init__(self, cache: Cache, registry: Registry) -> None:
        self._cache = cache
        self._registry = registry

    def collect(self) -> Iterator[Metric]:
        objects = GaugeMetricFamily(
            "apiserver_storage_objects",
            "Number of stored objects at the time of last check split by kind.",
            labels=("resource",),
        )
        for entry in self._registry.entries():
            resource = entry.resource
            if "list" not in entry.verbs:
                continue
            objects.add_metric((resource.name,), len(self._cache.collection(resource.group, resource.plural).order))
        yield objects


class _Levels(Collector):
    """How much each priority level may take, and what waits there."""

    def __init__(self, flow: FlowControl) -> None:
        self._flow = flow

    def collect(self) -> Iterator[Metric]:
        seats = GaugeMetricFamily(
            "apiserver_flowcontrol_nominal_limit_seats",
            "Nominal number of execution seats configured for each priority level.",
            labels=("priority_level",),
        )
        waiting = GaugeMetricFamily(
            "apiserver_flowcontrol_current_inqueue_requests",
            "Number of requests currently pending in queues of the API Priority and Fairness subsystem.",
            labels=("priority_level", "flow_schema"),
        )
        for level in self._flow.levels():
            seats.add_metric((level.name,), level.seats or 0)
            for schema, number in level.waiting().items():
                waiting.add_metric((level.name, schema), number)
        yield seats
        yield waiting


def collectors(metrics: RequestMetrics, cache: Cache, registry: Registry, flow: FlowControl) -> CollectorRegistry:
    """All that /metrics shows."""
    found = CollectorRegistry()
    ProcessCollector(registry=found)
    PlatformCollector(registry=found)
    found.register(_Requests(metrics))
    found.register(_Objects(cache, registry))
    found.register(_Levels(flow))
    return found
