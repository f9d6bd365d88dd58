"""When a token is asked for anew, what is handed out while nobody answers, and that workers share what is kept."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import cast

import pytest

from agents.kubelet.lookup import Lookup
from agents.kubelet.volumes.certificates import PodCertificates, Recorder
from agents.kubelet.volumes.payload import VolumeError
from agents.kubelet.volumes.tokens import TokenManager
from api.client import Client
from api.objects import Object
from api.runtime import SystemRuntime, timestamp
from api.transport import TransportError

pytestmark = pytest.mark.unit

POD = {"metadata": {"name": "p", "namespace": "d", "uid": "u"}, "spec": {"serviceAccountName": "clerk"}}
START, HOUR = 1_800_000_000.0, 3600.0


class Server(SystemRuntime):
    """A clock that is set, and an API server that issues numbered tokens unless it is away."""

    now, issued, away = START, 0, False

    def time(self) -> float:
        return self.now

    def create(self, plural: str, body: Object, *, subresource: str = "") -> Object:
        if self.away:
            raise TransportError("nobody answers")
        self.issued += 1
        expires = timestamp(self.now + body["spec"]["expirationSeconds"])
        return {"status": {"token": f"t{self.issued}", "expirationTimestamp": expires}}

    def get(self, plural: str, name: str, namespace: str = "") -> Object:
        return {}


@pytest.mark.parametrize(
    ("seconds", "kept", "renewed"),
    [(3600, 0.79 * HOUR, 0.81 * HOUR), (7 * 24 * 3600, 23.9 * HOUR, 24.1 * HOUR)],
    ids=["a fifth before its end", "when it is a day old"],
)
def test_when_a_token_is_asked_for_anew(seconds: int, kept: float, renewed: float) -> None:
    server = Server()
    tokens = TokenManager(cast(Client, server), server)
    handed = []
    for later in (0.0, kept, renewed):
        server.now = START + later
        handed.append(tokens.token(POD, "api", seconds))
    assert handed == ["t1", "t1", "t2"]


def test_a_token_that_cannot_be_renewed_is_handed_out_as_long_as_it_holds() -> None:
    server = Server()
    tokens = TokenManager(cast(Client, server), server)
    tokens.token(POD, "", 3600)
    server.away, server.now = True, START + 0.9 * HOUR
    assert tokens.token(POD, "", 3600) == "t1"
    server.now = START + HOUR
    with pytest.raises(TransportError):
        tokens.token(POD, "", 3600)
    server.away = False
    assert tokens.token(POD, "", 3600) == "t2"
    tokens.forget("u")
    assert tokens.token(POD, "", 3600) == "t3"


class Gone(str):
    """The uid of a pod that has gone; another pod's worker does its part whenever it is looked for."""

    __slots__ = ("meanwhile",)
    meanwhile: Callable[[], object]
    __hash__ = str.__hash__

    def __eq__(self, other: object) -> bool:
        self.meanwhile()
        return str(self) == str(other)


def nothing(*_: object) -> str:
    raise FileNotFoundError


def test_what_a_gone_pod_had_is_dropped_while_another_pods_is_asked_for() -> None:
    server, count = Server(), itertools.count()
    tokens = TokenManager(cast(Client, server), server)
    certificates = PodCertificates(cast(Client, server), server, cast(Recorder, server), dict, nothing)

    def ask() -> None:
        tokens.token(POD, f"api{next(count)}", 3600)
        with pytest.raises(VolumeError):
            certificates.credentials(POD, f"v{next(count)}", 0, {"signerName": "example.com/s", "keyType": "ED25519"})

    for _ in range(2):
        ask()
    before, gone = server.issued, Gone("u")
    gone.meanwhile = ask
    tokens.forget(gone)
    certificates.forget(gone)
    assert tokens.token(POD, "api0", 3600) not in [f"t{number + 1}" for number in range(before)]


def test_objects_are_looked_up_while_another_worker_drops_those_that_are_old() -> None:
    server = Server()
    lookup, count = Lookup(cast(Client, server), server), itertools.count()

    class Seconds(float):
        """How long an object is kept; another worker finds one whenever that is looked at."""

        def __gt__(self, age: float) -> bool:
            lookup._found["configmaps", "d", f"c{next(count)}"] = 0.0, None
            return float(self) > age

    lookup._found = {("configmaps", "d", str(number)): (0.0, None) for number in range(1024)}
    lookup._seconds = Seconds(1.0)
    assert lookup.get("secrets", "d", "s") == {"kind": "Secret"}
    assert ("configmaps", "d", "0") not in lookup._found
