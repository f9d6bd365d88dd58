"""A ruleset as values: what a table shall contain, said in the words of the rules, not of the wire.

A `Ruleset` is also the unit of change: each service has a small one, the table is their union.

Invariant: two equal values mean the same to the kernel, so whether a rule must change is a comparison.
Source: nft(8); the statements are the ones that Wherry's rules are made of, not all that nftables has.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum, IntEnum
from socket import AF_INET6, inet_ntop, inet_pton
from typing import NamedTuple

TCP, UDP, SCTP = 6, 17, 132
PROTOCOLS: Mapping[str, int] = {"TCP": TCP, "UDP": UDP, "SCTP": SCTP}


class Family(IntEnum):
    """The address family of a table."""

    IP = 2
    IP6 = 10

    @property
    def written(self) -> str:
        """As the API writes it."""
        return "IPv4" if self is Family.IP else "IPv6"

    def has(self, text: str | None) -> bool:
        """Whether an address or a network, e.g. fd00::/64, is of the family."""
        return bool(text) and (":" in str(text)) == (self is Family.IP6)


def spelled(address: str) -> str:
    """An address in the one spelling that the kernel has for it; users may write IPv6 in many."""
    return inet_ntop(AF_INET6, inet_pton(AF_INET6, address)) if ":" in address else address


class Type(Enum):
    """What a part of a key or of a map's value is."""

    ADDRESS = "address"
    PROTOCOL = "protocol"
    PORT = "port"
    INDEX = "index"


class Field(Enum):
    """What a key is read from: the packet."""

    SOURCE = "source address"
    DESTINATION = "destination address"
    PROTOCOL = "transport protocol"
    DESTINATION_PORT = "destination port"


class Endpoint(NamedTuple):
    """Where a connection can be sent."""

    address: str
    port: int

    def written(self) -> str:
        """ADDRESS:PORT, an IPv6 address in brackets."""
        return f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What happens to a packet: `action` is accept, drop, return, or jump/goto with a chain."""

    action: str
    chain: str = ""


ACCEPT = Verdict("accept")
DROP = Verdict("drop")
RETURN = Verdict("return")


def goto(chain: str) -> Verdict:
    """Go on in a chain and do not come back."""
    return Verdict("goto", chain)


def jump(chain: str) -> Verdict:
    """Go on in a chain and come back."""
    return Verdict("jump", chain)


@dataclass(frozen=True, slots=True)
class InNetworks:
    """The address read from `field` is (or, inverted, is not) in one of the networks, e.g. 10.0.0.0/8."""

    field: Field
    networks: tuple[str, ...]
    inverted: bool = False


@dataclass(frozen=True, slots=True)
class IsLocal:
    """The address read from `field` is one of this node's own."""

    field: Field


@dataclass(frozen=True, slots=True)
class InSet:
    """The key read from the packet is (or, inverted, is not) in a named set."""

    fields: tuple[Field, ...]
    name: str
    inverted: bool = False


@dataclass(frozen=True, slots=True)
class Protocol:
    """The transport protocol is this one."""

    number: int


@dataclass(frozen=True, slots=True)
class Interface:
    """The packet came in by (`outgoing`: leaves by) the interface of that name."""

    name: str
    outgoing: bool = False
    inverted: bool = False


@dataclass(frozen=True, slots=True)
class NewConnection:
    """The packet is the first of its connection."""


@dataclass(frozen=True, slots=True)
class Established:
    """The packet belongs to a connection that was let through before, or to one that such a connection opened."""


@dataclass(frozen=True, slots=True)
class Invalid:
    """The packet claims to belong to a connection and does not fit it: a segment far from what is expected."""


@dataclass(frozen=True, slots=True)
class Ports:
    """The destination port is one from `first` to `last`; the rule must match the protocol before."""

    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Translated:
    """The connection's destination was translated."""


@dataclass(frozen=True, slots=True)
class Marked:
    """The packet carries all bits of the mark."""

    mark: int


@dataclass(frozen=True, slots=True)
class SetMark:
    """Put the bits of the mark on the packet."""

    mark: int


@dataclass(frozen=True, slots=True)
class ClearMark:
    """Take the bits of the mark off the packet."""

    mark: int


@dataclass(frozen=True, slots=True)
class Dispatch:
    """Look the key up in a named map and follow the verdict found; nothing found: go on."""

    fields: tuple[Field, ...]
    name: str


@dataclass(frozen=True, slots=True)
class Spread:
    """Translate the destination to what a named map has for the key and a number drawn below `count`.

    Nothing found: go on.
    """

    fields: tuple[Field, ...]
    name: str
    count: int


@dataclass(frozen=True, slots=True)
class Redirect:
    """Look the key up in a named map and translate the destination to the endpoint found; nothing found: go on."""

    fields: tuple[Field, ...]
    name: str


@dataclass(frozen=True, slots=True)
class Balance:
    """Translate the destination to one of the endpoints, drawn evenly at random."""

    endpoints: tuple[Endpoint, ...]


@dataclass(frozen=True, slots=True)
class Draw:
    """Go on in one of the chains, drawn evenly at random."""

    chains: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Remember:
    """Put the packet's source into a named memory for so many seconds from now."""

    memory: str
    seconds: int


@dataclass(frozen=True, slots=True)
class Masquerade:
    """Give the packet the source address of the interface it leaves by."""


@dataclass(frozen=True, slots=True)
class Reject:
    """Refuse with ICMP port unreachable, or with a TCP reset, which unlike ICMP the kernel does not ration."""

    reset: bool = False


@dataclass(frozen=True, slots=True)
class ClampSegmentSize:
    """Lower the segment size that a TCP SYN offers to what the route's MTU carries."""


Statement = (
    InNetworks | IsLocal | InSet | Protocol | Ports | Interface | NewConnection | Established | Invalid | Translated
    | Marked | SetMark | ClearMark | Dispatch | Spread | Redirect | Balance | Draw | Remember | Masquerade | Reject
    | ClampSegmentSize | Verdict
)  # fmt: skip
Rule = tuple[Statement, ...]


class HookPoint(IntEnum):
    """Where the kernel calls a base chain."""

    PREROUTING = 0
    INPUT = 1
    FORWARD = 2
    OUTPUT = 3
    POSTROUTING = 4


@dataclass(frozen=True, slots=True)
class Hook:
    """Makes a chain a base chain; `kind` is filter or nat; lower priorities come first."""

    kind: str
    point: HookPoint
    priority: int


@dataclass(frozen=True, slots=True)
class Chain:
    """Rules in their order."""

    rules: tuple[Rule, ...] = ()
    hook: Hook | None = None


@dataclass(frozen=True, slots=True)
class Set:
    """A named set, or map if it has data: `verdicts`, or values of the types in `data`.

    A `memory` is filled by rules, not by us, and forgets its elements.
    """

    key: tuple[Type, ...]
    data: tuple[Type, ...] = ()
    verdicts: bool = False
    memory: bool = False


Key = tuple[str | int, ...]
Value = Verdict | Endpoint | None


@dataclass(frozen=True, slots=True)
class Ruleset:
    """Chains and sets by name, and the elements of the sets: key to verdict, endpoint, or None in a plain set."""

    chains: Mapping[str, Chain] = field(default_factory=dict)
    sets: Mapping[str, Set] = field(default_factory=dict)
    elements: Mapping[str, Mapping[Key, Value]] = field(default_factory=dict)


def changes(old: Ruleset, new: Ruleset) -> tuple[Ruleset, Ruleset]:
    """Both without what they have in common."""
    return _without(old, new), _without(new, old)


def _without(ruleset: Ruleset, other: Ruleset) -> Ruleset:
    return Ruleset(
        {name: chain for name, chain in ruleset.chains.items() if other.chains.get(name) != chain},
        {name: definition for name, definition in ruleset.sets.items() if other.sets.get(name) != definition},
        {
            name: {
                key: value
                for key, value in held.items()
                if key not in (there := other.elements.get(name, {})) or there[key] != value
            }
            for name, held in ruleset.elements.items()
            if held != other.elements.get(name)
        },
    )


def union(rulesets: Iterable[Ruleset]) -> Ruleset:
    """All of them in one; where two claim the same element, the earlier keeps it."""
    chains: dict[str, Chain] = {}
    sets: dict[str, Set] = {}
    elements: dict[str, dict[Key, Value]] = {}
    for ruleset in rulesets:
        chains.update(ruleset.chains)
        sets.update(ruleset.sets)
        for name, entries in ruleset.elements.items():
            held = elements.setdefault(name, {})
            for key, value in entries.items():
                held.setdefault(key, value)
    return Ruleset(chains, sets, elements)
