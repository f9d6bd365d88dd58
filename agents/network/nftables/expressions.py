"""The kernel's rule expressions, packed by hand: pyroute2's message classes take forty times as long for these.

Each function gives one encoded expression, or a few that belong together. Registers are 32-bit slots: a key is put
together from `KEY` on, what a map gives is found from `DATA` on; an address of IPv6 takes four slots.

Invariant: nothing here knows what a rule means.
Source: Linux include/uapi/linux/netfilter/nf_tables.h.
"""

from __future__ import annotations

import struct

from agents.network.netlink import attribute

NESTED = 0x8000

# NFT_REG32_00 and what follows.
KEY = 8
INDEX = 12
DATA = 16

PAYLOAD_NETWORK, PAYLOAD_TRANSPORT = 1, 2
META_MARK, META_IN_NAME, META_OUT_NAME, META_PROTOCOL = 3, 6, 7, 16
CT_STATE, CT_STATUS = 0, 2
COMPARE_EQUAL, COMPARE_NOT_EQUAL, COMPARE_AT_MOST, COMPARE_AT_LEAST = 0, 1, 3, 5

_VERDICTS = {"accept": 1, "drop": 0, "return": -5, "jump": -3, "goto": -4}
_FULLY_RANDOM = 16
_TCP = 6
_short = struct.Struct("=HH").pack
_be32 = struct.Struct(">I").pack
_host32 = struct.Struct("=I").pack


def number(kind: int, value: int) -> bytes:
    """An attribute that holds a 32-bit number in network order, as nftables wants them."""
    return _short(8, kind) + _be32(value)


def text(kind: int, value: str) -> bytes:
    """An attribute that holds a string."""
    return attribute(kind, value.encode() + b"\0")


def nested(kind: int, *parts: bytes) -> bytes:
    """An attribute that holds attributes."""
    return attribute(kind | NESTED, b"".join(parts))


def _expression(name: str, *parts: bytes) -> bytes:
    return nested(1, text(1, name), nested(2, *parts))


def verdict_data(action: str, chain: str = "") -> bytes:
    """NFTA_DATA_VERDICT: the value of a verdict map's element, and of a verdict in a rule."""
    code = attribute(1, struct.pack(">i", _VERDICTS[action]))
    return nested(2, code, text(2, chain)) if chain else nested(2, code)


def value_data(value: bytes) -> bytes:
    """NFTA_DATA_VALUE: bytes as a register holds them."""
    return attribute(1, value)


def verdict(action: str, chain: str = "") -> bytes:
    """End the rule with a verdict."""
    return _expression("immediate", number(1, 0), nested(2, verdict_data(action, chain)))


def immediate(register: int, value: bytes) -> bytes:
    """Put bytes into a register."""
    return _expression("immediate", number(1, register), nested(2, value_data(value)))


def payload(register: int, base: int, offset: int, length: int) -> bytes:
    """Load part of the packet."""
    return _expression("payload", number(1, register), number(2, base), number(3, offset), number(4, length))


def meta(register: int, key: int) -> bytes:
    """Load what the kernel knows of the packet."""
    return _expression("meta", number(1, register), number(2, key))


def set_meta(register: int, key: int) -> bytes:
    """Set what the kernel knows of the packet from a register."""
    return _expression("meta", number(2, key), number(3, register))


def connection(register: int, key: int) -> bytes:
    """Load a property of the packet's connection."""
    return _expression("ct", number(1, register), number(2, key))


def address_type(register: int, source: bool) -> bytes:
    """Load the routing type (2 is local) of the packet's source or destination address."""
    return _expression("fib", number(1, register), number(2, 3), number(3, 1 if source else 2))


def bitwise(register: int, mask: bytes, flip: bytes) -> bytes:
    """register = (register & mask) ^ flip."""
    return _expression(
        "bitwise",
        number(1, register),
        number(2, register),
        number(3, len(mask)),
        nested(4, value_data(mask)),
        nested(5, value_data(flip)),
    )


def compare(register: int, operator: int, value: bytes) -> bytes:
    """Go on with the rule only if the register equals (or does not equal) the bytes."""
    return _expression("cmp", number(1, register), number(2, operator), nested(3, value_data(value)))


def lookup(register: int, name: str, *, into: int | None = None, identity: int = 0, inverted: bool = False) -> bytes:
    """Go on only if the key in `register` is in the set; `into` takes a map's value (0: the verdict)."""
    parts = [text(1, name), number(2, register)]
    if into is not None:
        parts.append(number(3, into))
    if identity:
        parts.append(number(4, identity))
    if inverted:
        parts.append(number(5, 1))
    return _expression("lookup", *parts)


def random_number(register: int, below: int) -> bytes:
    """Draw a number from 0 up to `below`."""
    return _expression("numgen", number(1, register), number(2, below), number(3, 1))


def remember(name: str, key: int, seconds: int) -> bytes:
    """Add the key in a register to a set, or refresh it; it is forgotten after so many seconds."""
    timeout = attribute(6, struct.pack(">Q", seconds * 1000))
    return _expression("dynset", text(1, name), number(3, 1), number(4, key), timeout)


def translate_destination(family: int, address: int, port: int) -> bytes:
    """Destination NAT to the address and port in the registers."""
    return _expression("nat", number(1, 1), number(2, family), number(3, address), number(5, port))


def masquerade() -> bytes:
    """Source NAT to the outgoing interface's address, with ports drawn at random."""
    return _expression("masq", number(1, _FULLY_RANDOM))


def reject(code: int) -> bytes:
    """Refuse with ICMP destination unreachable of that code."""
    return _expression("reject", number(1, 0), attribute(2, bytes([code])))


def reset() -> bytes:
    """Refuse with a TCP reset."""
    return _expression("reject", number(1, 1), attribute(2, b"\0"))


def route_segment_size(register: int) -> bytes:
    """Load the largest TCP segment that the packet's route carries, in network order."""
    load = _expression("rt", number(1, register), number(2, 3))
    swap = _expression("byteorder", number(1, register), number(2, register), number(3, 1), number(4, 2), number(5, 2))
    return load + swap


def lower_segment_size(register: int) -> bytes:
    """Write a register into the packet's TCP option of the segment size; the kernel never raises it."""
    return _expression("exthdr", attribute(2, b"\x02"), number(3, 2), number(4, 2), number(6, 1), number(7, register))


def host_number(value: int) -> bytes:
    """A number as a register holds one that the kernel computed."""
    return _host32(value)


def port_range(first: int, last: int) -> bytes:
    """Go on only if the port in the key register is one from `first` to `last`."""
    if first == last:
        return compare(KEY, COMPARE_EQUAL, first.to_bytes(2, "big"))
    lowest = compare(KEY, COMPARE_AT_LEAST, first.to_bytes(2, "big"))
    return lowest + compare(KEY, COMPARE_AT_MOST, last.to_bytes(2, "big"))


def any_bit(bits: int) -> bytes:
    """Go on only if the key register has one of the bits."""
    masked = bitwise(KEY, host_number(bits), host_number(0))
    return masked + compare(KEY, COMPARE_NOT_EQUAL, host_number(0))


def change_mark(mask: int, flip: int) -> bytes:
    """Put the packet's mark, masked and then flipped, on the packet."""
    changed = bitwise(KEY, host_number(mask), host_number(flip))
    return meta(KEY, META_MARK) + changed + set_meta(KEY, META_MARK)


def clamp() -> bytes:
    """Lower the segment size that a TCP SYN offers to what the route's MTU carries."""
    tcp = meta(KEY, META_PROTOCOL) + compare(KEY, COMPARE_EQUAL, bytes([_TCP]))
    flags = payload(KEY, PAYLOAD_TRANSPORT, 13, 1)
    syn = bitwise(KEY, b"\x06", b"\0") + compare(KEY, COMPARE_EQUAL, b"\x02")
    return tcp + flags + syn + route_segment_size(KEY) + lower_segment_size(KEY)
