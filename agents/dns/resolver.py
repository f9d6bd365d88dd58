"""Answers DNS messages: from memory, from the zone, or from other servers.

An answer is kept as the bytes that follow its number, under the bytes of the question: a client that asks again is
answered without anything being read or written. A change of the zone forgets what was kept of it.

Invariant: `quick` never waits; what it cannot answer, `slow` does.
"""

from __future__ import annotations

import logging
from dataclasses import replace

from agents.dns import wire
from agents.dns.upstream import Upstream, UpstreamError
from agents.dns.wire import Answer, Code, FormatError, Query, Record, Type
from agents.dns.zone import Names, Zone
from api.runtime import Runtime

log = logging.getLogger(__name__)

_KEPT = 8192
_LONGEST_KEPT = 30.0
_LONGEST_CHAIN = 8


class Resolver:
    """Answers for one zone; everything else is forwarded."""

    def __init__(self, zone: Zone, upstream: Upstream, runtime: Runtime) -> None:
        self._zone = zone
        self._upstream = upstream
        self._runtime = runtime
        self._own: dict[bytes, bytes] = {}
        self._others: dict[bytes, tuple[float, bytes]] = {}
        self.hits = 0
        self.queries = 0
        self.failures = 0

    def update(self, owner: str, names: Names) -> None:
        """Put the names of a service in place of its present ones."""
        if self._zone.replace(owner, names):
            self._own.clear()

    def quick(self, data: bytes) -> bytes | None:
        """The answer to a datagram if it takes no other server; None if it does."""
        self.queries += 1
        kept = self._own.get(data[2:])
        if kept is not None:
            self.hits += 1
            return data[:2] + kept
        forwarded = self._others.get(data[2:])
        if forwarded is not None and forwarded[0] > self._runtime.monotonic():
            self.hits += 1
            return data[:2] + forwarded[1]
        try:
            query = wire.read_query(data)
        except FormatError:
            return wire.write_refusal(data, Code.FORMAT_ERROR)
        if query.opcode or query.category != wire.IN:
            return wire.write_answer(Answer(Code.NOT_IMPLEMENTED, authoritative=False), query)
        if not self._zone.owns(query.name):
            return None
        answer = self._zone.resolve(query.name, query.kind)
        if self._leads_out(answer, query.kind):
            return None
        return self._keep(data, wire.write_answer(self._followed(answer, query), query))

    def slow(self, data: bytes, *, datagram: bool = True) -> bytes:
        """The answer to a message, however long that takes."""
        try:
            query = wire.read_query(data)
        except FormatError:
            return wire.write_refusal(data, Code.FORMAT_ERROR)
        if query.opcode or query.category != wire.IN:
            return wire.write_answer(Answer(Code.NOT_IMPLEMENTED, authoritative=False), query)
        try:
            if self._zone.owns(query.name):
                answer = self._followed(self._zone.resolve(query.name, query.kind), query)
                return wire.write_answer(answer, query, datagram=datagram)
            return self._forward(data, query, datagram)
        except (UpstreamError, FormatError) as error:
            self.failures += 1
            log.info("%s could not be resolved: %s", query.name, error)
            return wire.write_answer(Answer(Code.SERVER_FAILURE, authoritative=False), query)

    def _forward(self, data: bytes, query: Query, datagram: bool) -> bytes:
        answer = self._upstream.ask(data)
        if datagram and len(answer) > query.room:
            return wire.write_answer(Answer(authoritative=False), replace(query, room=0))
        code, _, ttl = wire.read_records(answer)
        if datagram and code in (Code.SUCCESS, Code.NAME_ERROR) and ttl > 0:
            if len(self._others) >= _KEPT:
                self._others.clear()
            self._others[data[2:]] = (self._runtime.monotonic() + min(ttl, _LONGEST_KEPT), answer[2:])
        return answer

    def _keep(self, data: bytes, answer: bytes) -> bytes:
        if len(self._own) >= _KEPT:
            self._own.clear()
        self._own[data[2:]] = answer[2:]
        return answer

    def _leads_out(self, answer: Answer, kind: int) -> bool:
        """Whether the answer is an alias of a name that another server has to be asked for."""
        target = _alias_target(answer.answers, kind)
        return bool(target) and not self._zone.owns(target)

    def _followed(self, answer: Answer, query: Query) -> Answer:
        """The answer with what its alias leads to. Raises UpstreamError."""
        for _ in range(_LONGEST_CHAIN):
            target = _alias_target(answer.answers, query.kind)
            if not target:
                return answer
            if self._zone.owns(target):
                found = self._zone.resolve(target, query.kind).answers
            else:
                code, records, _ = wire.read_records(self._upstream.ask(wire.question(target, query.kind, 0)))
                return replace(answer, code=Code(code), answers=answer.answers + tuple(records))
            if not found:
                return answer
            answer = replace(answer, answers=answer.answers + found)
        return answer


def _alias_target(answers: tuple[Record, ...], kind: int) -> str:
    """The name that the last record is an alias of, if that is not what was asked for; else ""."""
    if not answers or answers[-1].kind != Type.CNAME or kind in (Type.CNAME, Type.ANY):
        return ""
    return wire.read_name(answers[-1].data, 0)[0]
