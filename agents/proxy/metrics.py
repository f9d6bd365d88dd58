"""What the proxy counts, under the original's names where it has them.

Invariant: one instance a process; labels are few and fixed.
"""

from __future__ import annotations

from functools import partial

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from agents.dns.resolver import Resolver

_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class Metrics:
    """Counters of the proxy in a registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self.sync_seconds = Histogram(
            "kubeproxy_sync_proxy_rules_duration_seconds",
            "Seconds from taking up a change of services to the kernel's answer",
            ("scope",),
            buckets=_BUCKETS,
            registry=registry,
        )
        self.synced_at = Gauge(
            "kubeproxy_sync_proxy_rules_last_timestamp_seconds", "When the rules last agreed", registry=registry
        )
        self.failures = Counter(
            "kubeproxy_sync_proxy_rules_failures_total", "Changes that the kernel refused", registry=registry
        )
        self.repairs = Counter(
            "wherry_proxy_repairs_total", "Times that others' changes were undone", registry=registry
        )
        self.services = Gauge("wherry_proxy_services", "Services that are programmed", registry=registry)
        self.routes = Gauge("wherry_proxy_routes", "Routes to other nodes' pods", ("way",), registry=registry)

    def count_queries(self, resolver: Resolver) -> None:
        """Show how many DNS questions were asked, answered from memory, and not answered."""
        for name, what in (("queries", "Questions asked"), ("hits", "Questions answered from memory"),
                           ("failures", "Questions that no server answered")):  # fmt: skip
            gauge = Gauge(f"wherry_dns_{name}", what, registry=self._registry)
            gauge.set_function(partial(getattr, resolver, name))
