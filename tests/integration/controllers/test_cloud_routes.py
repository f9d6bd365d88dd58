"""Routes of a machine's kernel follow the nodes: the machine is a network namespace."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from namespace_lab import Host

from api.objects import condition
from control.cloud import static
from control.cloud.command import controllers
from control.cloud.commands import output
from control.cloud.kernel_routes import KernelRoutes
from control.cloud.provider import ConfigError, Provider

pytestmark = pytest.mark.integration


@pytest.fixture
def router() -> Iterator[Any]:
    """A machine on the hollow nodes' network, with a route of its own."""
    host = Host("router")
    host.sh("ip link add lan type veth peer name wire && ip link set wire up && ip link set lan up")
    host.sh("ip address add 198.18.255.1/16 dev lan")
    host.sh("ip route add 203.0.113.0/24 via 198.18.0.9")
    yield host
    host.process.kill()
    host.process.wait()
    host.scratch.cleanup()


def routes_of(router: Any) -> dict[str, str]:
    return {one["dst"]: one["gateway"] for one in orjson.loads(router.sh("ip -json route")) if "gateway" in one}


def test_each_nodes_range_leads_to_it_and_goes_with_it(plane: Any, router: Any) -> None:
    prefix = ["nsenter", f"--net=/proc/{router.pid}/ns/net"]
    provider = Provider("test", routes=KernelRoutes(lambda command: output([*prefix, *command])))
    plane.start()
    cloud = controllers(plane.as_user("system:cloud-controller-manager"), plane.runtime, provider)
    plane.spawn("cloud", cloud.run)
    plane.client.create("nodes", {"metadata": {"name": "far"}, "spec": {"podCIDRs": ["10.99.0.0/24"]}})
    far = plane.find("nodes", "far")
    far.setdefault("status", {})["addresses"] = [{"type": "InternalIP", "address": "192.0.2.1"}]
    plane.client.update_status("nodes", far)
    plane.nodes(2)

    def wanted() -> dict[str, str]:
        nodes = [plane.find("nodes", name) for name in ("node-0", "node-1")]
        return {
            one["spec"].get("podCIDR", ""): one["status"]["addresses"][0]["address"] for one in nodes if one is not None
        }

    own = {"203.0.113.0/24": "198.18.0.9"}
    plane.until(lambda: len(wanted()) == 2 and routes_of(router) == wanted() | own, "both nodes are reached")

    def told(name: str, reason: str) -> bool:
        return (condition(plane.find("nodes", name), "NetworkUnavailable") or {}).get("reason") == reason

    plane.until(lambda: told("node-0", "RouteCreated"), "a node that is reached says so")
    plane.until(lambda: told("far", "NoRouteCreated"), "one that is not reached does, too")

    def why() -> bool:
        events = plane.client.list("events", "default", field_selector="involvedObject.name=far").items
        return any(one["reason"] == "FailedToCreateRoute" for one in events)

    plane.until(why, "and why")
    gone = wanted()
    plane.client.delete("nodes", "far")
    plane.client.patch("nodes", "node-1", {"metadata": {"annotations": {"a": "b"}}})
    assert routes_of(router) == gone | own, "routes that are right stay"


def test_a_file_asks_for_routes(plane: Any, tmp_path: Path) -> None:
    file = tmp_path / "static.yaml"
    for text, made in (("{}", False), ("routes: kernel", True)):
        file.write_text(text)
        assert (static.load(file, plane.runtime, lambda address, port: True).routes is not None) is made
    file.write_text("routes: magic")
    with pytest.raises(ConfigError, match="routes: magic is not known, only kernel"):
        static.load(file, plane.runtime, lambda address, port: True)
