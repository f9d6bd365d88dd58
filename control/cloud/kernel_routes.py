"""Routes of this machine's kernel: where the cloud controller runs, pods are reached at their own addresses.

The control host of a small cluster is often its only router, and runs no proxy that would route pod ranges.

Invariant: only routes that bear our protocol number are seen or touched.
Source: ip-route(8); rtnetlink(7) on the protocol of a route (numbers from 5 on are for administrators).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import orjson

from control.cloud.commands import output
from control.cloud.provider import Route

PROTOCOL = "87"
_FAMILIES = ("-4", "-6")


class KernelRoutes:
    """`run(command)` gives what a command prints. Raises ProviderError."""

    def __init__(self, run: Callable[[Sequence[str]], str] = output) -> None:
        self._run = run

    def list(self) -> Sequence[Route]:
        """Our routes, without the names of the nodes, which the kernel does not know."""
        found: list[Route] = []
        for family in _FAMILIES:
            printed = self._run(["ip", family, "-json", "route", "show", "proto", PROTOCOL])
            for one in orjson.loads(printed or "[]"):
                found.append(Route(one["dst"], "", one["dst"], one.get("gateway", "")))
        return found

    def create(self, route: Route) -> None:
        """Lead the range to the node's address; a route that leads elsewhere is replaced."""
        self._change("replace", route)

    def delete(self, route: Route) -> None:
        """Remove the route unless it leads elsewhere by now."""
        if any((one.destination, one.gateway) == (route.destination, route.gateway) for one in self.list()):
            self._change("del", route)

    def _change(self, verb: str, route: Route) -> None:
        family = "-6" if ":" in route.destination else "-4"
        self._run(["ip", family, "route", verb, route.destination, "via", route.gateway, "proto", PROTOCOL])
