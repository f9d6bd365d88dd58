"""Asks other name servers what the cluster's zone does not know.

Invariant: an answer is believed only if it comes from the server asked, with the number and the question sent.
Source: RFC 5452 (resilience against forged answers).
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterable
from ipaddress import ip_address
from pathlib import Path

import dns.exception
import dns.query
from dns.message import Message

from api.runtime import Runtime

log = logging.getLogger(__name__)

PORT = 53
_TIMEOUT = 1.5
_ATTEMPTS = 2
# A server that did not answer is asked after the others for so long.
_SHUNNED_SECONDS = 10.0


class UpstreamError(Exception):
    """No server gave an answer; the text says which were asked and what became of it."""


def servers_of(resolv_conf: str, own: Iterable[str]) -> tuple[str, ...]:
    """The name servers in a resolv.conf, without the cluster's own, which would ask itself."""
    excluded = set(own)
    found = []
    for line in resolv_conf.splitlines():
        words = line.split()
        if len(words) < 2 or words[0] != "nameserver" or words[1] in excluded:
            continue
        try:
            ip_address(words[1].partition("%")[0])
        except ValueError:
            log.warning("resolv.conf names %s, which is no address of a server", words[1])
            continue
        found.append(words[1])
    return tuple(found)


class Upstream:
    """A list of servers, asked one after another."""

    def __init__(self, servers: tuple[str, ...], runtime: Runtime, *, port: int = PORT) -> None:
        self._servers = servers
        self._runtime = runtime
        self._port = port
        self._shunned: dict[str, float] = {}

    def ask(self, query: Message) -> Message:
        """The answer to a query, under the query's own number and with its own question. Raises UpstreamError."""
        failures = []
        for _ in range(_ATTEMPTS):
            for server in self._in_turn():
                try:
                    answer = self._ask(server, query)
                except (OSError, dns.exception.DNSException) as error:
                    failures.append(f"{server}: {error}")
                    self._shunned[server] = self._runtime.monotonic() + _SHUNNED_SECONDS
                    continue
                answer.id, answer.question = query.id, query.question
                return answer
        raise UpstreamError("; ".join(failures) if failures else "the node's resolv.conf names no other server")

    def servers(self) -> tuple[str, ...]:
        """The servers, the one first that shall be asked first."""
        return self._servers

    def _in_turn(self) -> list[str]:
        """The servers in their order, but those last that were silent lately."""
        now = self._runtime.monotonic()
        return sorted(self.servers(), key=lambda server: self._shunned.get(server, 0.0) > now)

    def _ask(self, server: str, query: Message) -> Message:
        sent = copy.copy(query)
        sent.id = self._runtime.random().getrandbits(16)
        return dns.query.udp_with_fallback(
            sent, server, _TIMEOUT, self._port, ignore_unexpected=True, ignore_trailing=True, ignore_errors=True
        )[0]


class NodeUpstream(Upstream):
    """The servers of the node's resolv.conf as it is now: a network may come up, or change, later than the proxy.

    `own` are the addresses of the cluster's name server.
    """

    def __init__(self, resolv_conf: Path, own: tuple[str, ...], runtime: Runtime) -> None:
        super().__init__((), runtime)
        self._file = resolv_conf
        self._own = own
        self._seen: tuple[int, ...] | None = None

    def servers(self) -> tuple[str, ...]:
        """What the file names; what it named before if it cannot be read."""
        try:
            found = self._file.stat()
            seen = found.st_mtime_ns, found.st_ino, found.st_size
            if seen != self._seen:
                self._servers, self._seen = servers_of(self._file.read_text(), self._own), seen
                log.info("other names are asked for at %s", ", ".join(self._servers) or "no server")
        except (OSError, UnicodeDecodeError) as error:
            if self._seen != ():
                log.warning("%s cannot be read: %s", self._file, error)
            self._seen = ()
        return self._servers
