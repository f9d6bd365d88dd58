"""From ruleset values to the netlink messages that make them so.

Invariant: the messages of one `Encoder` belong to one transaction; an anonymous set is made right before the rule
that uses it and dies with that rule.
Source: Linux include/uapi/linux/netfilter/nf_tables.h, nfnetlink.h.
"""

from __future__ import annotations

import functools
import hashlib
import socket
import struct
from collections.abc import Callable, Iterable
from ipaddress import collapse_addresses, ip_network
from typing import Any

from agents.network.netlink import CREATE, EXCLUSIVE, Message, attribute
from agents.network.nftables import expressions as x
from agents.network.nftables.values import (
    Balance,
    Chain,
    ClampSegmentSize,
    ClearMark,
    Dispatch,
    Draw,
    Endpoint,
    Established,
    Family,
    Field,
    InNetworks,
    InSet,
    Interface,
    Invalid,
    IsLocal,
    Key,
    Marked,
    Masquerade,
    NewConnection,
    Ports,
    Protocol,
    Redirect,
    Reject,
    Remember,
    Rule,
    Set,
    SetMark,
    Spread,
    Statement,
    Translated,
    Type,
    Value,
    Verdict,
)

SUBSYSTEM = 10
NEW_TABLE, GET_TABLE, DELETE_TABLE = 0, 1, 2
NEW_CHAIN, GET_CHAIN, DELETE_CHAIN = 3, 4, 5
NEW_RULE, GET_RULE, DELETE_RULE = 6, 7, 8
NEW_SET, GET_SET, DELETE_SET = 9, 10, 11
NEW_ELEMENT, GET_ELEMENT, DELETE_ELEMENT = 12, 13, 14
NEW_GENERATION, GET_GENERATION = 15, 16
APPEND = 0x800

SET_ANONYMOUS, SET_CONSTANT, SET_INTERVAL, SET_MAP, SET_TIMEOUT, SET_EVALUATED = 1, 2, 4, 8, 16, 32

_BATCH_BEGIN, _BATCH_END = 16, 17
_VERDICT_TYPE = 0xFFFFFF00
_INTERVAL_END = 1
_MEMORY_SIZE = 65536
_MAXIMUM_ATTRIBUTE = 60_000
_LOCAL = 2
_STATE_INVALID, _STATE_NEW = 1, 1 << 3
_STATE_ESTABLISHED_OR_RELATED = 1 << 1 | 1 << 2
_STATUS_DESTINATION_TRANSLATED = 1 << 5
_PORT_UNREACHABLE = {Family.IP: 3, Family.IP6: 4}
_INTERFACE_NAME_SIZE = 16

# nft's numbers of data types, by which it prints sets.
_TYPE_NUMBERS = {Type.PROTOCOL: 12, Type.PORT: 13, Type.INDEX: 19}
_ADDRESS_NUMBERS = {Family.IP: 7, Family.IP6: 8}
# NFTNL_UDATA_SET_KEYBYTEORDER: tells nft to print the key as a number of this machine.
_HOST_ORDER = b"\x00\x04" + x.host_number(1)
_port = struct.Struct(">H2x").pack
# Changes when the same value is encoded in another way, so that an upgrade replaces the rules.
_ENCODING = "2"


def fingerprint(rule: Rule) -> str:
    """A short name of the rule's whole content, kept in its comment, by which a rule in the kernel is recognised."""
    return hashlib.blake2s((_ENCODING + repr(rule)).encode(), digest_size=8).hexdigest()


def generation_request() -> Message:
    """Ask for the number of the ruleset's generation, which counts every change by anybody."""
    return Message(SUBSYSTEM << 8 | GET_GENERATION, 0, struct.pack("=BBH", 0, 0, 0))


def transaction(messages: Iterable[Message], generation: int = 0) -> list[Message]:
    """The messages as one atomic batch; with a generation only if nobody has changed anything since."""
    frame = struct.pack(">BBH", 0, 0, SUBSYSTEM)
    begin = frame + (x.number(1, generation) if generation else b"")
    return [Message(_BATCH_BEGIN, 0, begin), *messages, Message(_BATCH_END, 0, frame)]


class Encoder:
    """Encodes for one table of one family; make a new one for every transaction."""

    def __init__(self, table: str, family: Family = Family.IP) -> None:
        self.family = family
        self._table = x.text(1, table)
        self._prefix = struct.pack("=BBH", family, 0, 0)
        self._anonymous = 0
        self._slots = 1 if family is Family.IP else 4
        self._socket_family = socket.AF_INET if family is Family.IP else socket.AF_INET6
        self._packers: dict[Type, Callable[[Any], bytes]] = {
            Type.ADDRESS: functools.partial(socket.inet_pton, self._socket_family),
            Type.PROTOCOL: struct.Struct("=B3x").pack,
            Type.PORT: _port,
            Type.INDEX: x.host_number,
        }

    def new_table(self) -> Message:
        """Make the table if it is not there."""
        return self._message(NEW_TABLE, CREATE)

    def delete_table(self) -> Message:
        """Remove the table with everything in it; it must be there."""
        return self._message(DELETE_TABLE, 0)

    def new_chain(self, name: str, chain: Chain) -> Message:
        """Make an empty chain."""
        parts = [x.text(3, name)]
        if chain.hook is not None:
            hook = x.number(1, chain.hook.point) + attribute(2, struct.pack(">i", chain.hook.priority))
            parts += [x.nested(4, hook), x.number(5, 1), x.text(7, chain.hook.kind)]
        return self._message(NEW_CHAIN, CREATE, *parts)

    def delete_chain(self, name: str) -> Message:
        """Remove a chain that is empty and that nothing refers to."""
        return self._message(DELETE_CHAIN, 0, x.text(3, name))

    def flush_chain(self, name: str) -> Message:
        """Remove all rules of a chain."""
        return self._message(DELETE_RULE, 0, x.text(2, name))

    def rule(self, chain: str, rule: Rule) -> list[Message]:
        """Append a rule to a chain, after the anonymous sets that it uses."""
        messages: list[Message] = []
        encoded = b"".join(self._statement(statement, messages) for statement in rule)
        comment = fingerprint(rule).encode() + b"\0"
        userdata = attribute(7, bytes([0, len(comment)]) + comment)
        messages.append(self._message(NEW_RULE, CREATE | APPEND, x.text(2, chain), x.nested(4, encoded), userdata))
        return messages

    def new_set(self, name: str, definition: Set) -> Message:
        """Make a named set or map."""
        flags = self.set_flags(definition)
        parts = [*self._key_type(definition.key), *self._data_type(definition)]
        if definition.memory:
            parts.append(x.nested(9, x.number(1, _MEMORY_SIZE)))
        # The identity is required also where it is not referred to.
        parts.append(x.number(10, self._identity()))
        return self._message(NEW_SET, CREATE | EXCLUSIVE, x.text(2, name), x.number(3, flags), *parts)

    def delete_set(self, name: str) -> Message:
        """Remove a named set with its elements."""
        return self._message(DELETE_SET, 0, x.text(2, name))

    def set_type(self, definition: Set) -> tuple[int, int, int]:
        """What a set is, as the kernel says it: flags, key type and data type."""
        data = _VERDICT_TYPE if definition.verdicts else self._number_of(definition.data)
        return self.set_flags(definition), self._number_of(definition.key), data

    def set_flags(self, definition: Set) -> int:
        """The kernel's flags of a named set."""
        flags = SET_MAP if definition.data or definition.verdicts else 0
        return flags | SET_TIMEOUT | SET_EVALUATED if definition.memory else flags

    def add_elements(self, name: str, elements: Iterable[tuple[bytes, bytes]]) -> list[Message]:
        """Add elements, given as `element_key` and `element_data`, to a named set."""
        parts = [self._element(key, data) for key, data in elements]
        return self._elements(NEW_ELEMENT, CREATE, name, parts)

    def delete_elements(self, name: str, keys: Iterable[bytes]) -> list[Message]:
        """Remove elements, given by `element_key`, from a named set; each must be there."""
        return self._elements(DELETE_ELEMENT, 0, name, [self._element(key, b"") for key in keys])

    def get_element(self, name: str, key: bytes) -> Message:
        """Ask for one element of a named set."""
        return self._elements(GET_ELEMENT, 0, name, [self._element(key, b"")])[0]

    def element_key(self, definition: Set, key: Key) -> bytes:
        """A key as the kernel holds it: each part padded to four bytes."""
        return b"".join([self._packers[kind](part) for kind, part in zip(definition.key, key, strict=True)])

    def element_data(self, value: Value) -> bytes:
        """An element's value as the content of NFTA_SET_ELEM_DATA; empty in a plain set."""
        if value is None:
            return b""
        if isinstance(value, Verdict):
            return x.verdict_data(value.action, value.chain)
        return x.value_data(self._endpoint(value))

    def _message(self, kind: int, flags: int, *parts: bytes) -> Message:
        return Message(SUBSYSTEM << 8 | kind, flags, b"".join((self._prefix, self._table, *parts)))

    def _identity(self) -> int:
        self._anonymous += 1
        return self._anonymous

    def _endpoint(self, endpoint: Endpoint) -> bytes:
        return socket.inet_pton(self._socket_family, endpoint.address) + _port(endpoint.port)

    def _length(self, kind: Type) -> int:
        return 4 * self._slots if kind is Type.ADDRESS else 4

    def _number_of(self, kinds: tuple[Type, ...]) -> int:
        number = 0
        for kind in kinds:
            number = number << 6 | (_ADDRESS_NUMBERS[self.family] if kind is Type.ADDRESS else _TYPE_NUMBERS[kind])
        return number

    def _key_type(self, kinds: tuple[Type, ...]) -> list[bytes]:
        return [x.number(4, self._number_of(kinds)), x.number(5, sum(map(self._length, kinds)))]

    def _data_type(self, definition: Set) -> list[bytes]:
        if definition.verdicts:
            return [x.number(6, _VERDICT_TYPE), x.number(7, 0)]
        if definition.data:
            return [x.number(6, self._number_of(definition.data)), x.number(7, sum(map(self._length, definition.data)))]
        return []

    def _element(self, key: bytes, data: bytes, flags: int = 0) -> bytes:
        parts = [x.nested(1, x.value_data(key))]
        if data:
            parts.append(x.nested(2, data))
        if flags:
            parts.append(x.number(3, flags))
        return x.nested(1, *parts)

    def _elements(self, kind: int, flags: int, name: str, parts: list[bytes], identity: int = 0) -> list[Message]:
        """One message for as many elements as an attribute can hold."""
        messages = []
        batch: list[bytes] = []
        size = 0
        head = x.text(2, name) + (x.number(4, identity) if identity else b"")
        for part in parts:
            if size + len(part) > _MAXIMUM_ATTRIBUTE:
                messages.append(self._message(kind, flags, head, x.nested(3, *batch)))
                batch, size = [], 0
            batch.append(part)
            size += len(part)
        if batch:
            messages.append(self._message(kind, flags, head, x.nested(3, *batch)))
        return messages

    def _anonymous_set(self, messages: list[Message], flags: int, types: list[bytes], elements: list[bytes]) -> int:
        identity = self._identity()
        name = "__map%d" if flags & SET_MAP else "__set%d"
        flags |= SET_ANONYMOUS | SET_CONSTANT
        size = x.nested(9, x.number(1, len(elements)))
        head = (x.text(2, name), x.number(3, flags), *types, size, x.number(10, identity))
        messages.append(self._message(NEW_SET, CREATE, *head))
        messages += self._elements(NEW_ELEMENT, CREATE, name, elements, identity)
        return identity

    def _load(self, field: Field, register: int) -> bytes:
        if field is Field.PROTOCOL:
            return x.meta(register, x.META_PROTOCOL)
        if field is Field.DESTINATION_PORT:
            return x.payload(register, x.PAYLOAD_TRANSPORT, 2, 2)
        length = 4 * self._slots
        first = 12 if self.family is Family.IP else 8
        offset = first if field is Field.SOURCE else first + length
        return x.payload(register, x.PAYLOAD_NETWORK, offset, length)

    def _load_key(self, fields: tuple[Field, ...]) -> bytes:
        register = x.KEY
        parts = []
        for field in fields:
            parts.append(self._load(field, register))
            register += self._slots_of(field)
        return b"".join(parts)

    def _slots_of(self, field: Field) -> int:
        return self._slots if field in (Field.SOURCE, Field.DESTINATION) else 1

    def _statement(self, statement: Statement, messages: list[Message]) -> bytes:
        match statement:
            case Verdict(action, chain):
                return x.verdict(action, chain)
            case InNetworks(field, networks, inverted):
                return self._in_networks(field, networks, inverted, messages)
            case InSet(fields, name, inverted):
                return self._load_key(fields) + x.lookup(x.KEY, name, inverted=inverted)
            case Dispatch(fields, name):
                return self._load_key(fields) + x.lookup(x.KEY, name, into=0)
            case Spread(fields, name, count):
                return self._spread(fields, name, count)
            case Redirect(fields, name):
                return self._load_key(fields) + x.lookup(x.KEY, name, into=x.DATA) + self._translate()
            case Balance(endpoints):
                return self._choose(endpoints, messages) + self._translate()
            case Draw(chains):
                return self._draw(chains, messages)
            case Remember(memory, seconds):
                return self._load(Field.SOURCE, x.KEY) + x.remember(memory, x.KEY, seconds)
            case _:
                return self._simple(statement)

    def _simple(self, statement: Statement) -> bytes:
        match statement:
            case IsLocal(field):
                kind = x.address_type(x.KEY, source=field is Field.SOURCE)
                return kind + x.compare(x.KEY, x.COMPARE_EQUAL, x.host_number(_LOCAL))
            case Protocol(number):
                return x.meta(x.KEY, x.META_PROTOCOL) + x.compare(x.KEY, x.COMPARE_EQUAL, bytes([number]))
            case Interface(name, outgoing, inverted):
                load = x.meta(x.KEY, x.META_OUT_NAME if outgoing else x.META_IN_NAME)
                operator = x.COMPARE_NOT_EQUAL if inverted else x.COMPARE_EQUAL
                return load + x.compare(x.KEY, operator, name.encode().ljust(_INTERFACE_NAME_SIZE, b"\0"))
            case NewConnection():
                return x.connection(x.KEY, x.CT_STATE) + x.any_bit(_STATE_NEW)
            case Established():
                return x.connection(x.KEY, x.CT_STATE) + x.any_bit(_STATE_ESTABLISHED_OR_RELATED)
            case Invalid():
                return x.connection(x.KEY, x.CT_STATE) + x.any_bit(_STATE_INVALID)
            case Ports(first, last):
                return self._load(Field.DESTINATION_PORT, x.KEY) + x.port_range(first, last)
            case Translated():
                return x.connection(x.KEY, x.CT_STATUS) + x.any_bit(_STATUS_DESTINATION_TRANSLATED)
            case Marked(mark):
                return x.meta(x.KEY, x.META_MARK) + x.any_bit(mark)
            case SetMark(mark):
                return x.change_mark(~mark & 0xFFFFFFFF, mark)
            case ClearMark(mark):
                return x.change_mark(~mark & 0xFFFFFFFF, 0)
            case Masquerade():
                return x.masquerade()
            case Reject(reset):
                return x.reset() if reset else x.reject(_PORT_UNREACHABLE[self.family])
            case ClampSegmentSize():
                return x.clamp()
        raise TypeError(f"no encoding of {statement!r}")

    def _in_networks(self, field: Field, networks: tuple[str, ...], inverted: bool, messages: list[Message]) -> bytes:
        load = self._load(field, x.KEY)
        # What users write may have bits of a host: 10.1.2.3/8 is 10.0.0.0/8.
        written = (ip_network(network, strict=False) for network in networks)
        collapsed = list(collapse_addresses(written))  # type: ignore[type-var]
        if len(collapsed) == 1:
            only = collapsed[0]
            operator = x.COMPARE_NOT_EQUAL if inverted else x.COMPARE_EQUAL
            mask = x.bitwise(x.KEY, only.netmask.packed, bytes(len(only.netmask.packed)))
            return load + mask + x.compare(x.KEY, operator, only.network_address.packed)
        size = 4 * self._slots
        elements = [self._element(bytes(size), b"", _INTERVAL_END)] if int(collapsed[0].network_address) else []
        for network in collapsed:
            elements.append(self._element(network.network_address.packed, b""))
            end = int(network.broadcast_address) + 1
            if end < 1 << (8 * size):
                elements.append(self._element(end.to_bytes(size, "big"), b"", _INTERVAL_END))
        identity = self._anonymous_set(messages, SET_INTERVAL, self._key_type((Type.ADDRESS,)), elements)
        return load + x.lookup(x.KEY, "__set%d", identity=identity, inverted=inverted)

    def _choose(self, endpoints: tuple[Endpoint, ...], messages: list[Message]) -> bytes:
        """Put one of the endpoints into the data registers."""
        if len(endpoints) == 1:
            packed = self._endpoint(endpoints[0])
            return x.immediate(x.DATA, packed[:-4]) + x.immediate(x.DATA + self._slots, packed[-4:-2])
        values = [x.value_data(self._endpoint(endpoint)) for endpoint in endpoints]
        types = self._data_type(Set((), data=(Type.ADDRESS, Type.PORT)))
        return self._draw_from(values, types, x.DATA, messages)

    def _draw(self, chains: tuple[str, ...], messages: list[Message]) -> bytes:
        if len(chains) == 1:
            return x.verdict("goto", chains[0])
        values = [x.verdict_data("goto", chain) for chain in chains]
        return self._draw_from(values, self._data_type(Set((), verdicts=True)), 0, messages)

    def _draw_from(self, values: list[bytes], types: list[bytes], into: int, messages: list[Message]) -> bytes:
        """Put one of the values, drawn at random, into a register."""
        key = [*self._key_type((Type.INDEX,)), attribute(13, _HOST_ORDER)]
        elements = [self._element(x.host_number(index), value) for index, value in enumerate(values)]
        identity = self._anonymous_set(messages, SET_MAP, key + types, elements)
        return x.random_number(x.INDEX, len(values)) + x.lookup(x.INDEX, "__map%d", into=into, identity=identity)

    def _spread(self, fields: tuple[Field, ...], name: str, count: int) -> bytes:
        index = x.KEY + sum(map(self._slots_of, fields))
        find = x.random_number(index, count) + x.lookup(x.KEY, name, into=x.DATA)
        return self._load_key(fields) + find + self._translate()

    def _translate(self) -> bytes:
        return x.translate_destination(self.family, x.DATA, x.DATA + self._slots)
