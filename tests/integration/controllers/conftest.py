"""A control plane in this process: the real API server over the memory engine, scheduler, controllers, hollow nodes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import orjson
import pytest
from prometheus_client import CollectorRegistry

from agents.kubelet.hollow import HollowCluster, HollowSettings
from api.client import Client
from api.errors import NotFound
from api.objects import Object
from api.pki import Pair, new_authority
from api.runtime import Event, SystemRuntime
from api.transport import WsgiTransport
from control.apiserver.application import application, make_server
from control.apiserver.authentication.certificates import ENVIRON_USER, EnvironMethod
from control.apiserver.bootstrap import Bootstrap
from control.apiserver.config import Config
from control.apiserver.identity import User
from control.apiserver.loops import ServerLoop, loops
from control.controllers.context import Options
from control.controllers.manager import manager
from control.kvstore.engines import open_engine
from control.scheduler.metrics import Metrics
from control.scheduler.profiles import default_profile
from control.scheduler.scheduler import Scheduler

_PATIENCE = 30.0


class ControlPlane:
    """Everything but kubelets; `client` is an administrator, `as_user` anyone else."""

    def __init__(self) -> None:
        self.runtime = SystemRuntime()
        self.stop = self.runtime.event()
        self.authority: Pair = new_authority("test", self.runtime.time())
        self._store = open_engine("memory", self.runtime)
        self._server = make_server(self._store, self.runtime, Config(), authentication=[EnvironMethod()])
        self._server_application = application(self._server, {})
        # Paths that an add-on answers, with what it answers: made anew for each request.
        self.addons: dict[str, Callable[[], Object]] = {}
        self._server.cache.start(self.stop)
        assert self._server.cache.wait_synced(_PATIENCE)
        Bootstrap(self._server).start(self.stop)
        self.client = self.as_user("admin", "system:masters")
        self.options = Options()
        self._clusters: list[HollowCluster] = []
        self._loops: list[ServerLoop] = []
        self._tasks: list[Any] = []

    def as_user(self, name: str, *groups: str) -> Client:
        """A client with that identity."""
        user = User(name, (*groups, "system:authenticated"))
        return Client(WsgiTransport(self._answer, {ENVIRON_USER: user}), user_agent=name)

    def _answer(self, environ: dict[str, Any], start_response: Any) -> Any:
        addon = self.addons.get(environ["PATH_INFO"])
        if addon is None:
            return self._server_application(environ, start_response)
        start_response("200 OK", [("Content-Type", "application/json")])
        return [orjson.dumps(addon())]

    def start(self, **options: Any) -> None:
        """Run scheduler and controllers, each with its own identity."""
        self.options = settings = Options(
            authority=self.authority, authority_certificate=self.authority.certificate, **options
        )
        profile = default_profile()
        scheduler = Scheduler(
            self.as_user("system:kube-scheduler"), self.runtime, {profile.name: profile}, Metrics(CollectorRegistry())
        )
        controllers = manager(self.as_user("system:kube-controller-manager"), self.runtime, settings)
        self.spawn("scheduler", scheduler.run)
        self.spawn("controllers", controllers.run)

    def extend(self, slices: list[Object]) -> None:
        """Run the API server's own loops; `slices` are where add-ons answer, on loopback, which clients may not say."""
        endpoint = self._server.endpoint("discovery.k8s.io", "v1", "endpointslices")
        for one in slices:
            self._server.storage.create(endpoint.key(one["metadata"]["namespace"], one["metadata"]["name"]), one)
        self._loops = loops(self._server)
        for loop in self._loops:
            loop.start(self.stop)

    def spawn(self, name: str, run: Callable[[Event], None]) -> None:
        """Run a term until the control plane is closed."""
        self._tasks.append(self.runtime.spawn(name, run, self.stop))

    def nodes(self, count: int, prefix: str = "node", **settings: Any) -> HollowCluster:
        """Hollow nodes PREFIX-0, …, ready to take pods."""
        cluster = HollowCluster(self.client, self.runtime, HollowSettings(nodes=count, prefix=prefix, **settings))
        self._clusters.append(cluster)
        cluster.start(self.stop)
        self.until(lambda: cluster.registered() == count, f"{count} hollow nodes are registered")
        return cluster

    def until(self, holds: Callable[[], object], what: str, seconds: float = _PATIENCE) -> None:
        """Wait until `holds()`; fail with `what` was waited for."""
        deadline = self.runtime.monotonic() + seconds
        while not holds():
            assert self.runtime.monotonic() < deadline, f"waited {seconds:.0f} s in vain: {what}"
            self.runtime.sleep(0.02)

    def find(self, resource: str, name: str, namespace: str = "") -> Object | None:
        """The object, or None."""
        try:
            return self.client.get(resource, name, namespace)
        except NotFound:
            return None

    def pods(self, **labels: str) -> list[Object]:
        """Pods of namespace default with these labels."""
        selector = ",".join(f"{key}={value}" for key, value in labels.items())
        return self.client.list("pods", "default", label_selector=selector).items

    def close(self) -> None:
        """Stop everything."""
        self.stop.set()
        for cluster in self._clusters:
            cluster.close()
        for task in self._tasks:
            task.join(10)
        for loop in self._loops:
            loop.close()
        self._server.cache.close()
        self._store.close()


@pytest.fixture
def plane() -> Iterator[ControlPlane]:
    """A control plane of which scheduler and controllers are not started yet."""
    made = ControlPlane()
    yield made
    made.close()
