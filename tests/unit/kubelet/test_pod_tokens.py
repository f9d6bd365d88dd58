"""When a pod's token is asked for anew, and what is handed out while nobody answers."""

from __future__ import annotations

from typing import cast

import pytest

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
