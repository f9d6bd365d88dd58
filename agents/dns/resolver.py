"""Answers DNS messages: from memory, from the zone, or from other servers.

An answer is kept as the bytes that follow its number, under the bytes of the question: a client that asks again is
answered without anything being read or written. A change of the zone forgets the answers that its names are in; what
another server said is kept for as long as that allowed, and passed on with the time that is left.

Invariant: `quick` never waits; what it cannot answer, `slow` does.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import replace

import dns.exception
import dns.flags
import dns.message
from dns.message import Message, QueryMessage
from dns.name import Name
from dns.rcode import Rcode
from dns.rdataclass import IN
from dns.rdatatype import ANY, CNAME, RdataType
from dns.rrset import RRset

from agents.dns import messages
from agents.dns.messages import Answer, FormatError
from agents.dns.upstream import Upstream, UpstreamError
from agents.dns.zone import Names, Zone
from api.runtime import Runtime

log = logging.getLogger(__name__)

_KEPT = 8192
_LONGEST_KEPT = 30
_LONGEST_CHAIN = 8


class _Kept:
    """Another server's answer, which ages."""

    def __init__(self, response: Message, query: Message, now: float, seconds: int) -> None:
        self.until = now + seconds
        self._since = now
        self._age = 0
        self._response = response
        self._query = query
        self._bytes = messages.write(response, query, datagram=True)[2:]

    def bytes(self, now: float) -> bytes:
        """What follows the number of the message, with times to live as they are now."""
        passed = int(now - self._since) - self._age
        if passed > 0:
            self._age += passed
            for rrset in (*self._response.answer, *self._response.authority, *self._response.additional):
                rrset.ttl = max(0, rrset.ttl - passed)
            self._bytes = messages.write(self._response, self._query, datagram=True)[2:]
        return self._bytes


class Resolver:
    """Answers for one zone; everything else is forwarded."""

    def __init__(self, zone: Zone, upstream: Upstream, runtime: Runtime) -> None:
        self._zone = zone
        self._upstream = upstream
        self._runtime = runtime
        self._own: dict[bytes, bytes] = {}
        # The questions whose kept answers a name is part of.
        self._about: dict[str, set[bytes]] = {}
        self._others: dict[bytes, _Kept] = {}
        self.hits = 0
        self.queries = 0
        self.failures = 0

    def update(self, owner: str, names: Names) -> None:
        """Put the names of a service, or whoever owns some, in place of its present ones."""
        self.forget(self._zone.replace(owner, names))

    def forget(self, names: Iterable[str]) -> None:
        """Answer anew what the names are part of."""
        for name in names if self._own else ():
            for asked in self._about.pop(name, ()):
                self._own.pop(asked, None)

    def quick(self, data: bytes) -> bytes | None:
        """The answer to a datagram if it takes no other server; None if it does."""
        self.queries += 1
        kept = self._own.get(data[2:]) or self._forwarded(data[2:])
        if kept is not None:
            self.hits += 1
            return data[:2] + kept
        try:
            query = messages.read_query(data)
        except FormatError as error:
            return messages.write_refusal(data, error.code)
        if not self._is_own(query):
            return None
        asked = query.question[0]
        found = self._zone.resolve(asked.name, asked.rdtype)
        if self._leads_out(found, asked.rdtype):
            return None
        found = self._followed(found, query)
        names = _names_in(found, asked.name) | set(self._zone.follows_from(_text(asked.name)))
        return self._keep(data, names, messages.write_answer(found, query, datagram=True))

    def slow(self, data: bytes, *, datagram: bool = True) -> bytes:
        """The answer to a message, however long that takes."""
        try:
            query = messages.read_query(data)
        except FormatError as error:
            return messages.write_refusal(data, error.code)
        asked = query.question[0]
        if self._is_own(query):
            found = self._zone.resolve(asked.name, asked.rdtype)
            return messages.write_answer(self._followed(found, query), query, datagram=datagram)
        try:
            return self._forward(data, query, datagram)
        except UpstreamError as error:
            self.failures += 1
            log.info("%s could not be resolved: %s", asked.name, error)
            return messages.write_answer(Answer(Rcode.SERVFAIL, authoritative=False), query, datagram=datagram)

    def _is_own(self, query: Message) -> bool:
        return query.question[0].rdclass == IN and self._zone.owns(messages.name_of(query))

    def _forwarded(self, asked: bytes) -> bytes | None:
        kept = self._others.get(asked)
        now = self._runtime.monotonic()
        return kept.bytes(now) if kept is not None and kept.until > now else None

    def _forward(self, data: bytes, query: Message, datagram: bool) -> bytes:
        response = self._upstream.ask(query)
        seconds = _time_to_live(response)
        answer = messages.write(response, query, datagram=datagram)
        if datagram and seconds > 0:
            if len(self._others) >= _KEPT:
                self._others.clear()
            self._others[data[2:]] = _Kept(response, query, self._runtime.monotonic(), min(seconds, _LONGEST_KEPT))
        return answer

    def _keep(self, data: bytes, names: set[str], answer: bytes) -> bytes:
        if len(self._own) >= _KEPT:
            self._own.clear()
            self._about.clear()
        self._own[data[2:]] = answer[2:]
        for name in names:
            self._about.setdefault(name, set()).add(data[2:])
        return answer

    def _leads_out(self, found: Answer, kind: RdataType) -> bool:
        """Whether the answer is an alias of a name that another server has to be asked for."""
        target = _alias_target(found.answers, kind)
        return target is not None and not self._zone.owns(_text(target))

    def _followed(self, found: Answer, query: Message) -> Answer:
        """The answer with what its alias leads to, as far as that can be found out."""
        kind = query.question[0].rdtype
        for _ in range(_LONGEST_CHAIN):
            target = _alias_target(found.answers, kind)
            if target is None:
                break
            if self._zone.owns(_text(target)):
                more = self._zone.resolve(target, kind).answers
            else:
                more = self._others_say(target, kind)
            if not more:
                break
            found = replace(found, answers=found.answers + more)
        return found

    def _others_say(self, target: Name, kind: RdataType) -> tuple[RRset, ...]:
        try:
            return tuple(self._upstream.ask(dns.message.make_query(target, kind)).answer)
        except UpstreamError as error:
            self.failures += 1
            log.info("%s could not be resolved: %s", target, error)
            return ()


def _names_in(found: Answer, asked: Name) -> set[str]:
    """The names that an answer follows from: what was asked, what it leads to, and whose addresses come with it."""
    owners = [rrset.name for rrset in (*found.answers, *found.additional)]
    targets = [record.target for rrset in found.answers for record in rrset if hasattr(record, "target")]
    return {_text(name) for name in (asked, *owners, *targets)}


def _time_to_live(response: Message) -> int:
    """For how many seconds another server's answer may be kept: RFC 2308 says it for a negative one."""
    if response.rcode() not in (Rcode.NOERROR, Rcode.NXDOMAIN) or response.flags & dns.flags.TC:
        return 0
    try:
        return response.resolve_chaining().minimum_ttl if isinstance(response, QueryMessage) else 0
    except dns.exception.DNSException:
        return 0


def _alias_target(answers: tuple[RRset, ...], kind: RdataType) -> Name | None:
    """The name that the last record is an alias of, if that is not what was asked for."""
    if not answers or answers[-1].rdtype != CNAME or kind in (CNAME, ANY):
        return None
    target: Name = answers[-1][0].target
    return target


def _text(name: Name) -> str:
    return name.to_text(omit_final_dot=True).lower()
