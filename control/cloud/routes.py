"""Routes: where the cloud's network carries pod traffic, each node's pod ranges are routed to it.

Invariant: a range leads to one node; only the routes that the provider lists as this cluster's are touched.
Source: kubernetes cloud-provider's route controller (condition NetworkUnavailable, events).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from api.errors import Conflict, NotFound
from api.loop import Loop, Surroundings
from api.objects import Object, copy, name_of, set_condition
from api.runtime import Event, timestamp
from control.cloud.provider import ProviderError, Route, Routes

_PERIOD = 10.0
_KEY = "routes"
_MADE = ("False", "RouteCreated", "RouteController created a route")
_FAILED = ("True", "NoRouteCreated", "RouteController failed to create a route")


def decide(nodes: Iterable[Object], present: Sequence[Route]) -> tuple[list[Route], list[Route]]:
    """(routes to create, routes to delete) so that each node's ranges lead to it."""
    wanted = {(one.destination, one.gateway): one for node in nodes for one in _routes_to(node)}
    have = {(one.destination, one.gateway) for one in present}
    create = [route for key, route in sorted(wanted.items()) if key not in have]
    return create, [route for route in present if (route.destination, route.gateway) not in wanted]


def with_condition(node: Object, failed: bool, now: float) -> Object | None:
    """The node with its NetworkUnavailable told; None if nothing changes."""
    changed = copy(node)
    value, reason, message = _FAILED if failed else _MADE
    verdict = {"type": "NetworkUnavailable", "status": value, "reason": reason, "message": message}
    set_condition(changed.setdefault("status", {}).setdefault("conditions", []), verdict, timestamp(now))
    return None if changed["status"]["conditions"] == (node.get("status") or {}).get("conditions") else changed


def _routes_to(node: Object) -> Iterable[Route]:
    addresses = (node.get("status") or {}).get("addresses") or []
    internal = [one["address"] for one in addresses if one["type"] == "InternalIP"]
    for range_ in (node.get("spec") or {}).get("podCIDRs") or []:
        gateway = next((one for one in internal if (":" in one) == (":" in range_)), "")
        if gateway:
            yield Route(f"{name_of(node)}-{range_}", name_of(node), range_, gateway)


class RouteController(Loop):
    """The shell."""

    name = "route_controller"
    workers = 1

    def __init__(self, context: Surroundings, routes: Routes) -> None:
        super().__init__(context)
        self._routes = routes
        self._nodes = self.watch("nodes", lambda node: (_KEY,))

    def start(self, stop: Event) -> None:
        """Look once even if there is no node."""
        self.queue.add(_KEY)
        super().start(stop)

    def reconcile(self, key: str) -> float | None:
        """Compare and correct, and tell each node whether it is reached. Raises ProviderError."""
        nodes = {name_of(node): node for node in self._nodes.items()}
        create, delete = decide(nodes.values(), self._routes.list())
        for route in delete:
            self._routes.delete(route)
        failed = {route.target for route in create if not self._create(nodes[route.target], route)}
        for name, node in nodes.items():
            if any(True for _ in _routes_to(node)):
                self._tell(node, name in failed)
        return _PERIOD

    def _create(self, node: Object, route: Route) -> bool:
        try:
            self._routes.create(route)
        except ProviderError as error:
            why = f"Could not create route {route.name} {route.destination} for node {route.target}: {error}"
            self.events.warning(node, "FailedToCreateRoute", why)
            return False
        return True

    def _tell(self, node: Object, failed: bool) -> None:
        changed = with_condition(node, failed, self.runtime.time())
        if changed is None:
            return
        try:
            self.client.update_status("nodes", changed)
        except (Conflict, NotFound):
            # The informer will show the node as it is now.
            self.queue.add_after(_KEY, 0.5)
