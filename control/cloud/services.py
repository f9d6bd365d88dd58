"""Service load balancers: gives Services of type LoadBalancer the address that the provider has for them.

Invariant: the finalizer is there before the provider is asked for anything, and goes after it gave all up.
Source: kubernetes cloud-provider's service controller (finalizer, events).
"""

from __future__ import annotations

from collections.abc import Iterable

from api.errors import Conflict
from api.loop import Loop, Surroundings
from api.objects import (
    Object,
    annotations_of,
    copy,
    is_deleting,
    is_true,
    key_of,
    labels_of,
    name_of,
    namespace_of,
)
from control.cloud.provider import Balancer, LoadBalancers, ProviderError

FINALIZER = "service.kubernetes.io/load-balancer-cleanup"
_RETRY = 30.0
_SLICES = "endpointslices.discovery.k8s.io"
_SERVICE_NAME = "kubernetes.io/service-name"


def wants_balancer(service: Object) -> bool:
    """Whether this controller is asked for a load balancer."""
    spec = service["spec"]
    return spec.get("type") == "LoadBalancer" and not spec.get("loadBalancerClass") and not is_deleting(service)


def with_balancer(service: Object, balancer: Balancer) -> Object | None:
    """The service with the balancer's ingress in its status; None if it shows it already."""
    present = ((service.get("status") or {}).get("loadBalancer") or {}).get("ingress") or []
    if present == list(balancer.ingress):
        return None
    changed = copy(service)
    changed.setdefault("status", {})["loadBalancer"] = {"ingress": list(balancer.ingress)} if balancer.ingress else {}
    return changed


def with_finalizer(service: Object, present: bool) -> Object | None:
    """The service with or without our finalizer; None if nothing changes."""
    finalizers = service["metadata"].get("finalizers") or []
    if (FINALIZER in finalizers) == present:
        return None
    changed = copy(service)
    rest = [one for one in finalizers if one != FINALIZER]
    changed["metadata"]["finalizers"] = [*rest, FINALIZER] if present else rest
    return changed


class ServiceController(Loop):
    """The shell. One worker: an address must not be given twice."""

    name = "service-controller"
    workers = 1

    def __init__(self, context: Surroundings, balancers: LoadBalancers) -> None:
        super().__init__(context)
        self._balancers = balancers
        self._services = self.watch("services")
        self._nodes = context.informers.of("nodes")
        self._nodes.add_handler(self._on_node)
        self._slices = self.watch(_SLICES, _service_keys)
        self._slices.add_index("service", _service_keys)

    def reconcile(self, key: str) -> float | None:
        """Make the service's balancer so."""
        service = self._services.get(key)
        if service is None:
            self._offer()
            return None
        try:
            if wants_balancer(service):
                return self._ensure(service)
            if FINALIZER in (service["metadata"].get("finalizers") or []):
                self._release(service)
        except ProviderError as error:
            self.events.warning(service, "SyncLoadBalancerFailed", f"Error syncing load balancer: {error}")
            return _RETRY
        except Conflict:
            # The informer lags behind our own write; it will show the service again.
            return 0.05
        return None

    def _ensure(self, service: Object) -> float | None:
        marked = with_finalizer(service, present=True)
        if marked is not None:
            self.events.normal(service, "EnsuringLoadBalancer", "Ensuring load balancer")
            service = self.client.update("services", marked)
        others = [one for one in self._services.items() if one["spec"].get("type") == "LoadBalancer"]
        serving = self._serving(service)
        if not serving:
            self.events.warning(service, "UnAvailableLoadBalancer", "There are no available nodes for LoadBalancer")
        balancer = self._balancers.ensure(service, serving, others)
        if annotations_of(service) | balancer.annotations != annotations_of(service):
            annotated = copy(service)
            annotated["metadata"]["annotations"] = annotations_of(service) | balancer.annotations
            service = self.client.update("services", annotated)
        changed = with_balancer(service, balancer)
        if changed is not None:
            self.client.update_status("services", changed)
            self.events.normal(service, "EnsuredLoadBalancer", "Ensured load balancer")
        return balancer.check_again

    def _serving(self, service: Object) -> list[Object]:
        """The nodes that take the balancer's traffic: where that must stay local, those with a ready endpoint."""
        nodes = self._nodes.items()
        if service["spec"].get("externalTrafficPolicy") != "Local":
            return nodes
        homes = {
            endpoint.get("nodeName")
            for one in self._slices.by_index("service", key_of(service))
            for endpoint in one.get("endpoints") or []
            if (endpoint.get("conditions") or {}).get("ready") is not False
        }
        return [node for node in nodes if name_of(node) in homes] or nodes

    def _release(self, service: Object) -> None:
        self.events.normal(service, "DeletingLoadBalancer", "Deleting load balancer")
        self._balancers.delete(service)
        changed = with_balancer(service, Balancer(()))
        if changed is not None and not is_deleting(service):
            service = self.client.update_status("services", changed)
        freed = with_finalizer(service, present=False)
        if freed is not None:
            self.client.update("services", freed)
        self.events.normal(service, "DeletedLoadBalancer", "Deleted load balancer")

    def _offer(self) -> None:
        """What one Service gave up may be what others wait for."""
        for other in self._services.items():
            if wants_balancer(other) and not (other.get("status") or {}).get("loadBalancer", {}).get("ingress"):
                self.queue.add(key_of(other))

    def _on_node(self, old: Object | None, new: Object | None) -> None:
        if old is not None and new is not None and is_true(old, "Ready") == is_true(new, "Ready"):
            return
        for service in self._services.items():
            if wants_balancer(service):
                self.queue.add(key_of(service))


def _service_keys(slice_: Object) -> Iterable[str]:
    name = labels_of(slice_).get(_SERVICE_NAME)
    return (f"{namespace_of(slice_)}/{name}",) if name else ()
