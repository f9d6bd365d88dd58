"""Limits how fast a link sends, by the kernel's token bucket; on both ends of a pod's veth that limits both directions.

Invariant: nothing here touches a socket.
Source: tc-tbf(8), Linux include/uapi/linux/pkt_sched.h; the burst is that of the CNI project's bandwidth plugin.
"""

from __future__ import annotations

import struct

from agents.network.netlink import CREATE, REPLACE, Message, attribute

# The kind of queue that limits, as links name it.
QUEUE = "tbf"

_NEW_QDISC = 36
_ROOT, _HANDLE = 0xFFFFFFFF, 0x10000
_KIND, _OPTIONS = 1, 2
_PARAMETERS, _RATE64, _BURST = 1, 4, 6
_ETHERNET = 1
_SMALLEST_BURST = 64 * 1024
_LATENCY = 0.025
_message = struct.Struct("=BxxxiIII").pack
_rate = struct.Struct("=BBHhHI").pack


def limit(link: int, bits_a_second: int) -> Message:
    """Let the link with that index send no more than so much."""
    rate = max(1, bits_a_second // 8)
    burst = max(_SMALLEST_BURST, rate // 10)
    queue = burst + int(rate * _LATENCY)
    small = min(rate, 0xFFFFFFFF)
    parameters = _rate(0, _ETHERNET, 0, 0, 0, small) + _rate(0, 0, 0, 0, 0, 0)
    parameters += struct.pack("=III", min(queue, 0xFFFFFFFF), 0, 0)
    options = attribute(_PARAMETERS, parameters) + attribute(_BURST, struct.pack("=I", min(burst, 0xFFFFFFFF)))
    if rate > small:
        options += attribute(_RATE64, struct.pack("=Q", rate))
    head = _message(0, link, _HANDLE, _ROOT, 0)
    return Message(
        _NEW_QDISC, CREATE | REPLACE, head + attribute(_KIND, QUEUE.encode() + b"\0") + attribute(_OPTIONS, options)
    )
