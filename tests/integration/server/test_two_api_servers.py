"""Two API servers on one etcd are one API: reads never go back in time, and one controller manager at a time leads."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from api import pki
from api.client import Client
from api.errors import Conflict
from api.leader import LeaderElector
from api.runtime import Event, SystemRuntime
from api.transport import WsgiTransport
from control.apiserver.application import application, make_server
from control.apiserver.authentication.certificates import ENVIRON_USER, EnvironMethod
from control.apiserver.authentication.jwt import SigningKey
from control.apiserver.config import Config
from control.apiserver.identity import AUTHENTICATED_GROUP, MASTERS_GROUP, User
from control.kvstore.client import open_store

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]

ADMIN = User("kubernetes-admin", (MASTERS_GROUP, AUTHENTICATED_GROUP))
CONFIG_MAP = {"metadata": {"name": "counter", "namespace": "default"}, "data": {"count": "0"}}
WRITES = 60
SECONDS = 60.0


@pytest.fixture(scope="module")
def etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An etcd of the machine's own; its spec."""
    import sys

    sys.path.insert(0, str(Path(__file__).parents[1] / "kvstore"))
    from kvstore_processes import Etcd

    if Etcd.binary is None:
        pytest.skip("etcd is not installed")
    process = Etcd(tmp_path_factory.mktemp("etcd"))
    process.start()
    yield process.spec
    process.stop()


@contextmanager
def api_server(spec: str) -> Iterator[Client]:
    """An API server over the store, and a client of it."""
    runtime = SystemRuntime()
    store, stop = open_store(spec, runtime), runtime.event()
    config = Config(advertise_address="192.0.2.10")
    server = make_server(
        store, runtime, config, authentication=[EnvironMethod()], signing_key=SigningKey(pki.new_key())
    )
    server.cache.start(stop)
    try:
        assert server.cache.wait_synced(SECONDS)
        yield Client(WsgiTransport(application(server, {}), {ENVIRON_USER: ADMIN}))
    finally:
        stop.set()
        server.cache.close()
        store.close()


@pytest.fixture
def both(etcd: str) -> Iterator[tuple[Client, Client]]:
    with ExitStack() as stack:
        one, other = (stack.enter_context(api_server(etcd)) for _ in range(2))
        yield one, other


def count(client: Client) -> int:
    return int(client.get("configmaps", "counter", "default")["data"]["count"])


def test_what_one_has_acknowledged_the_other_shows_and_nothing_goes_back(both: tuple[Client, Client]) -> None:
    one, other = both
    one.create("namespaces", {"metadata": {"name": "default"}})
    one.create("configmaps", CONFIG_MAP)
    acknowledged, backwards, stop = [0], [], threading.Event()

    def read() -> None:
        last, turn = 0, 0
        while not stop.is_set():
            turn += 1
            least = acknowledged[0]
            seen = count(both[turn % 2])
            if seen < max(last, least):
                backwards.append((seen, last, least))
            last = seen

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    try:
        for number in range(1, WRITES + 1):
            both[number % 2].patch("configmaps", "counter", {"data": {"count": str(number)}}, "default")
            acknowledged[0] = number
            listed = other.list("configmaps", "default").items
            assert [item["data"]["count"] for item in listed if item["metadata"]["name"] == "counter"] == [str(number)]
    finally:
        stop.set()
        for reader in readers:
            reader.join(SECONDS)
    assert backwards == []


def test_two_writers_of_one_object_by_two_servers_lose_no_update(both: tuple[Client, Client]) -> None:
    one, _ = both
    one.create("configmaps", CONFIG_MAP | {"metadata": {"name": "shared", "namespace": "default"}})

    def add(client: Client) -> None:
        for _ in range(20):
            while True:
                found = client.get("configmaps", "shared", "default")
                found["data"]["count"] = str(int(found["data"]["count"]) + 1)
                try:
                    client.update("configmaps", found)
                except Conflict:
                    continue
                break

    writers = [threading.Thread(target=add, args=(client,)) for client in both]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(SECONDS)
    assert one.get("configmaps", "shared", "default")["data"]["count"] == "40"


def test_one_leads_at_a_time_and_the_next_takes_over(both: tuple[Client, Client]) -> None:
    runtime = SystemRuntime()
    leading: list[str] = []
    overlaps: list[list[str]] = []
    took_over = threading.Event()

    def campaign(name: str, client: Client, stop: Event) -> threading.Thread:
        elector = LeaderElector(
            client, runtime, name="work", identity=name, lease_duration=3.0, renew_deadline=2.0, retry=0.2
        )

        def lead(_: Client, lost: Event) -> None:
            leading.append(name)
            if len(leading) > 1:
                overlaps.append(list(leading))
            if name == "second":
                took_over.set()
            lost.wait(SECONDS)
            leading.remove(name)

        thread = threading.Thread(target=elector.run, args=(stop, lead))
        thread.start()
        return thread

    first_stop, second_stop = runtime.event(), runtime.event()
    both[0].create("namespaces", {"metadata": {"name": "kube-system"}})
    first = campaign("first", both[0], first_stop)
    deadline = time.monotonic() + SECONDS
    while leading != ["first"]:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    second = campaign("second", both[1], second_stop)
    first_stop.set()
    assert took_over.wait(SECONDS)
    second_stop.set()
    for thread in (first, second):
        thread.join(SECONDS)
        assert not thread.is_alive()
    assert overlaps == []
