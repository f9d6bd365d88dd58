"""A pod network without interfaces: addresses are handed out, nothing is programmed.

Invariant: an address belongs to one sandbox at a time, and attaching again gives the same one.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from agents.network.interface import UNLIMITED, Attachment, Bandwidth, HostPort, NetworkError
from agents.network.repairs import Repairs


class FakeNetwork:
    """For hollow nodes and tests. Until `configure` it uses `fallback`, a CIDR."""

    def __init__(self, fallback: str) -> None:
        self._cidrs: tuple[str, ...] = (fallback,)
        self._attachments: dict[str, Attachment] = {}
        self._used: set[str] = set()
        self._next: Iterator[str] = self._hosts()

    def configure(self, pod_cidrs: tuple[str, ...]) -> None:
        if pod_cidrs and pod_cidrs != self._cidrs:
            self._cidrs = pod_cidrs
            self._next = self._hosts()

    def attach(
        self, sandbox: str, host_ports: tuple[HostPort, ...] = (), bandwidth: Bandwidth = UNLIMITED
    ) -> Attachment:
        known = self._attachments.get(sandbox)
        if known is None:
            address = self._free_address()
            known = Attachment(sandbox, self.path(sandbox), (address,), "")
            self._attachments[sandbox] = known
            self._used.add(address)
        return known

    def path(self, sandbox: str) -> str:
        return f"/run/netns/{sandbox}"

    def detach(self, sandbox: str) -> None:
        gone = self._attachments.pop(sandbox, None)
        if gone is not None:
            self._used.difference_update(gone.addresses)

    def repair(self) -> Repairs:
        return Repairs()

    def attached(self) -> dict[str, Attachment]:
        return dict(self._attachments)

    def _free_address(self) -> str:
        for fresh in (False, True):
            if fresh:
                self._next = self._hosts()
            for address in self._next:
                if address not in self._used:
                    return address
        raise NetworkError(f"no address is left in {', '.join(self._cidrs)}")

    def _hosts(self) -> Iterator[str]:
        network = ipaddress.ip_network(self._cidrs[0])
        # The first host is the gateway's.
        return (str(network[index]) for index in range(2, network.num_addresses - 1))
