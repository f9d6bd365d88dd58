"""Health check node ports over real sockets: by which a load balancer learns where a service has endpoints."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from typing import TypeVar

import pytest
import urllib3
from gevent import get_hub
from proxy_site import wait_for

from agents.proxy.health_ports import HealthPorts
from agents.proxy.rules import ServiceRules

pytestmark = pytest.mark.integration

T = TypeVar("T")


@pytest.fixture
def port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


@pytest.fixture
def healthy() -> list[bool]:
    return [True]


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
def ports(healthy: list[bool], told: list[str]) -> Iterator[HealthPorts]:
    made = HealthPorts(lambda: healthy[0], "[::]", lambda key, why: told.append(f"{key}: {why}"))
    yield made
    made.close()


def outside(call: Callable[[], T]) -> T:
    """What a client in another thread gets: this one serves meanwhile."""
    return get_hub().threadpool.apply(call)


def asked(host: str, port: int) -> tuple[int, dict]:
    url = f"http://{host}:{port}/healthz"
    answer = outside(lambda: urllib3.request("GET", url, timeout=5.0, retries=False))
    return answer.status, json.loads(answer.data)


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]"])
def test_a_nodes_endpoints_are_told_by_both_families(ports: HealthPorts, port: int, host: str) -> None:
    ports.sync([{"shop/web": ServiceRules(health_check_port=port, local_endpoints=2)}])
    told = {"service": {"namespace": "shop", "name": "web"}, "localEndpoints": 2, "serviceProxyHealthy": True}
    assert asked(host, port) == (200, told)


@pytest.mark.parametrize(("endpoints", "health", "status"), [(1, True, 200), (0, True, 503), (1, False, 503)])
def test_a_balancer_is_sent_away_without_endpoints_or_rules(
    ports: HealthPorts, healthy: list[bool], port: int, endpoints: int, health: bool, status: int
) -> None:
    healthy[0] = health
    ports.sync([{"shop/web": ServiceRules(health_check_port=port, local_endpoints=endpoints)}])
    assert asked("127.0.0.1", port)[0] == status


def test_a_port_that_is_given_up_is_closed_and_another_service_may_have_it(ports: HealthPorts, port: int) -> None:
    ports.sync([{"shop/web": ServiceRules(health_check_port=port, local_endpoints=1)}])
    ports.sync([{}])

    def closed() -> bool:
        with socket.socket() as asking:
            return asking.connect_ex(("127.0.0.1", port)) != 0

    wait_for(lambda: outside(closed), "the port is closed")
    ports.sync([{"shop/db": ServiceRules(health_check_port=port, local_endpoints=3)}])
    status, told = asked("127.0.0.1", port)
    assert (status, told["service"]["name"], told["localEndpoints"]) == (200, "db", 3)


def test_a_port_that_somebody_has_is_said_once_and_taken_when_it_is_free(
    ports: HealthPorts, told: list[str], port: int
) -> None:
    part = {"shop/web": ServiceRules(health_check_port=port, local_endpoints=1)}
    with socket.create_server(("::", port), family=socket.AF_INET6):
        ports.sync([part])
        ports.listen()
        assert len(told) == 1 and "shop/web" in told[0] and str(port) in told[0], told
    ports.listen()
    assert asked("127.0.0.1", port)[0] == 200
