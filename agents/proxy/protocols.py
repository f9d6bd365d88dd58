"""Says when a Service needs a protocol whose ports this node's kernel cannot translate.

A kernel that does not track SCTP takes the rules all the same, and then translates addresses and leaves ports as they
are: the Service would fail without a word.

Invariant: said once a process, and only when the rules are in force, for a kernel loads what tracks connections with
the first rule that asks for it.
Source: Linux net/netfilter/nf_conntrack_standalone.c.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from agents.network import sysctl
from agents.network.nftables.values import SCTP
from agents.proxy.node_events import NodeEvents
from agents.proxy.rules import ServiceRules

log = logging.getLogger(__name__)


def tracks_sctp() -> bool:
    """Whether the kernel follows SCTP; one that tracks nothing at all yet does not say."""
    return bool(sysctl.value("netfilter/nf_conntrack_sctp_timeout_established"))


class Protocols:
    """What the services seen so far need."""

    def __init__(self, events: NodeEvents, tracks: Callable[[], bool] = tracks_sctp) -> None:
        self._events = events
        self._tracks = tracks
        self._key = ""
        self._judged = False

    def seen(self, key: str, part: ServiceRules) -> None:
        """Take a service's rules into account."""
        if not self._key and any(front.protocol == SCTP for front in part.backends):
            self._key = key

    def judge(self) -> None:
        """Say it, if a service needs what the kernel has not."""
        if self._judged or not self._key:
            return
        self._judged = True
        if not self._tracks():
            message = f"Service {self._key} has a port of SCTP, which this node's kernel does not track: it cannot work"
            log.warning("%s", message)
            self._events.warning("ServiceProtocolUnsupported", message)
