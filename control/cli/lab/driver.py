"""What every kind of lab can do, whatever its hosts are made of.

Invariant: every verb may be repeated; repeating it changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

# What a driver has to tell while it works: which host ("" is the lab as a whole), and one sentence.
Say = Callable[[str, str], None]

API_PORT = 6443
DEMO_PORT = 30080


@dataclass(frozen=True, slots=True)
class Host:
    """One machine of the lab: its name, its group in the inventory, and its address in the cluster's network."""

    name: str
    group: str
    address: str


@dataclass(frozen=True, slots=True)
class Endpoint:
    """How SSH reaches a host from the operator's shell; its other ports answer at `service_address` there."""

    address: str
    port: int
    user: str
    key: str
    known_hosts: str
    service_address: str


class Driver(Protocol):
    """Makes, breaks and removes the hosts of one lab."""

    def up(self, hosts: Sequence[Host], say: Say) -> list[str]:
        """Bring up the hosts, until SSH answers on each; returns the names of those that were not up before."""

    def down(self, say: Say) -> None:
        """Remove the lab and all it left on the machine; also a half-made or half-dead one."""

    def running(self) -> dict[str, bool]:
        """Each host of the lab that was ever brought up, and whether it runs now."""

    def power_off(self, name: str) -> None:
        """Cut the host's power: nothing is saved, nothing is said to anybody."""

    def power_on(self, name: str) -> None:
        """Boot the host again, with the disk it had."""

    def disconnect(self, name: str) -> None:
        """Pull the host's cable."""

    def connect(self, name: str) -> None:
        """Plug the host's cable in again."""

    def endpoint(self, name: str) -> Endpoint:
        """How to reach the host. Raises CommandError if the lab has no such host."""


def plan(workers: int) -> list[Host]:
    """One control host and so many workers, in 192.168.56.0/24, the network that Vagrant labs use too."""
    control = Host("control", "control", "192.168.56.10")
    return [control, *(Host(f"node{n}", "workers", f"192.168.56.{10 + n}") for n in range(1, workers + 1))]
