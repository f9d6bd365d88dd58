"""Whom a node's name server asks first."""

from __future__ import annotations

from pathlib import Path

import dns.message
import pytest
from dns.message import Message

from agents.dns.upstream import NodeUpstream, Upstream, UpstreamError
from api.runtime import SystemRuntime

pytestmark = pytest.mark.unit


class Clock(SystemRuntime):
    """A clock that is set forward by hand."""

    now = 1000.0

    def monotonic(self) -> float:
        return self.now


class Servers(Upstream):
    """Three servers, of which some are silent; who was asked."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(("a", "b", "c"), clock)
        self.silent: set[str] = set()
        self.asked = ""

    def _ask(self, server: str, query: Message) -> Message:
        self.asked += server
        if server in self.silent:
            raise OSError("timed out")
        return dns.message.make_response(query)

    def turn(self) -> str:
        """Whom one question goes to, in order."""
        self.asked = ""
        self.ask(dns.message.make_query("example.org", "A"))
        return self.asked


def test_a_silent_server_is_asked_last_for_a_while() -> None:
    clock = Clock()
    servers = Servers(clock)
    assert servers.turn() == "a"
    servers.silent = {"a"}
    assert (servers.turn(), servers.turn()) == ("ab", "b")
    servers.silent = {"b"}
    assert servers.turn() == "bc"
    clock.now += 11
    servers.silent = set()
    assert servers.turn() == "a", "the first one is the first again"


def test_servers_that_are_all_silent_are_named() -> None:
    servers = Servers(Clock())
    servers.silent = {"a", "b", "c"}
    with pytest.raises(UpstreamError, match="a: timed out; b: timed out; c: timed out; a: timed out"):
        servers.turn()


def test_the_nodes_servers_are_those_of_its_file_now(tmp_path: Path) -> None:
    file = tmp_path / "resolv.conf"
    upstream = NodeUpstream(file, ("10.96.0.10",), Clock())
    assert upstream.servers() == ()
    file.write_text("nameserver 10.96.0.10\nnameserver 192.0.2.1\n")
    assert upstream.servers() == ("192.0.2.1",)
    (tmp_path / "new").write_text("nameserver 192.0.2.2\nnameserver nonsense\n")
    (tmp_path / "new").rename(file)
    assert upstream.servers() == ("192.0.2.2",)
    file.unlink()
    assert upstream.servers() == ("192.0.2.2",), "the last ones that are known"
