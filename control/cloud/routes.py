"""Routes: where the cloud's network carries pod traffic, each node's pod range is routed to it.

Invariant: only routes inside the cluster's own range are touched.
Source: kubernetes cloud-provider's route controller (condition NetworkUnavailable).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from api.loop import Loop, Surroundings
from api.objects import Object, name_of
from api.runtime import Event
from control.cloud.provider import Route, Routes

_PERIOD = 10.0
_KEY = "routes"


def decide(nodes: Iterable[Object], present: Sequence[Route]) -> tuple[list[Route], list[Route]]:
    """(routes to create, routes to delete) so that each node's ranges lead to it."""
    wanted = {(name_of(node), range_) for node in nodes for range_ in (node.get("spec") or {}).get("podCIDRs") or []}
    have = {(route.target, route.destination) for route in present}
    create = [Route(f"{target}-{range_}", target, range_) for target, range_ in sorted(wanted - have)]
    return create, [route for route in present if (route.target, route.destination) not in wanted]


class RouteController(Loop):
    """The shell."""

    name = "route-controller"
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
        """Compare and correct."""
        create, delete = decide(self._nodes.items(), self._routes.list())
        for route in delete:
            self._routes.delete(route)
        for route in create:
            self._routes.create(route)
        return _PERIOD
