"""Which address a sandbox has: a pure choice, and one durable file a sandbox.

The file is written before the address is used and removed after it is unused, so a crash at any moment leaves at
worst an address reserved for a sandbox that `detach` will be asked to remove.

Invariant: no address is reserved for two sandboxes; a freed address is the last to be handed out again.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from pathlib import Path

import orjson

from agents.network.interface import NetworkError
from agents.network.rtnetlink.values import Address, Network

# The first address of a podCIDR is the gateway's; a sandbox gets one of those after it.
_GATEWAY_OFFSET = 1
_LARGEST_SEARCH = 1 << 16


def gateway_of(network: Network) -> Address:
    """The address of the node itself in its podCIDR: the first one."""
    return network.network_address + _GATEWAY_OFFSET


def choose(network: Network, taken: Iterable[Address], last: Address | None) -> Address | None:
    """The first free address after `last`, going round; None if all are taken.

    Network, gateway and (IPv4) broadcast address are never chosen.
    """
    used = set(taken)
    start = int(network.network_address) + _GATEWAY_OFFSET + 1
    count = network.num_addresses - _GATEWAY_OFFSET - 1 - (1 if network.version == 4 else 0)
    offset = int(last) - start + 1 if last is not None and last in network else 0
    for step in range(min(count, len(used) + _LARGEST_SEARCH)):
        candidate = network.network_address + (_GATEWAY_OFFSET + 1 + (max(offset, 0) + step) % count)
        if candidate not in used:
            return candidate
    return None


@dataclass(frozen=True, slots=True)
class Reservation:
    """The addresses (in the podCIDRs' order) of a sandbox, and its host ports as the caller gave them."""

    addresses: tuple[Address, ...]
    host_ports: tuple[Mapping[str, object], ...] = ()

    def to_json(self) -> bytes:
        """The text of the sandbox's file."""
        return orjson.dumps({"addresses": [str(a) for a in self.addresses], "hostPorts": list(self.host_ports)})


class AddressBook:
    """Reservations under a directory: `sandboxes/NAME`, and `last`, the address handed out latest of each network.

    One process owns a directory; within it the caller serializes.
    """

    def __init__(self, directory: Path) -> None:
        self._sandboxes = directory / "sandboxes"
        self._last = directory / "last"
        self._sandboxes.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._reservations = {}
        for path in sorted(self._sandboxes.iterdir()):
            reservation = _read(path)
            if reservation is None:
                path.unlink()
            else:
                self._reservations[path.name] = reservation
        self._latest = _read_last(self._last)

    def reservations(self) -> dict[str, Reservation]:
        """All reservations by sandbox."""
        return dict(self._reservations)

    def get(self, sandbox: str) -> Reservation | None:
        """The sandbox's reservation, if it has one."""
        return self._reservations.get(sandbox)

    def reserve(
        self, sandbox: str, networks: Iterable[Network], host_ports: tuple[Mapping[str, object], ...] = ()
    ) -> Reservation:
        """An address of each network for the sandbox; what it has already, if that is in the networks.

        Raises NetworkError if a network has none left or the file cannot be written.
        """
        wanted = tuple(networks)
        present = self._reservations.get(sandbox)
        if present is not None and _covers(present.addresses, wanted):
            if present.host_ports != host_ports:
                present = Reservation(present.addresses, host_ports)
                self._write(sandbox, present)
            return present
        taken = [address for held in self._reservations.values() for address in held.addresses]
        addresses = []
        for network in wanted:
            chosen = choose(network, taken, self._latest.get(network))
            if chosen is None:
                raise NetworkError(
                    f"sandbox {sandbox} gets no address: all of podCIDR {network} are in use by "
                    f"{len(self._reservations)} sandboxes; remove pods or give the node a larger podCIDR"
                )
            self._latest[network] = chosen
            addresses.append(chosen)
        reservation = Reservation(tuple(addresses), host_ports)
        self._write(sandbox, reservation)
        return reservation

    def release(self, sandbox: str) -> None:
        """Give the sandbox's addresses back. Raises NetworkError."""
        try:
            (self._sandboxes / sandbox).unlink(missing_ok=True)
        except OSError as error:
            raise NetworkError(f"the address of sandbox {sandbox} cannot be released: {error}") from error
        self._reservations.pop(sandbox, None)

    def _write(self, sandbox: str, reservation: Reservation) -> None:
        latest = {str(network): str(address) for network, address in self._latest.items()}
        try:
            _replace(self._last, orjson.dumps(latest), durable=False)
            _replace(self._sandboxes / sandbox, reservation.to_json(), durable=True)
        except OSError as error:
            raise NetworkError(f"the address of sandbox {sandbox} cannot be recorded: {error}") from error
        self._reservations[sandbox] = reservation


def _covers(addresses: tuple[Address, ...], networks: tuple[Network, ...]) -> bool:
    return len(addresses) == len(networks) and all(a in n for a, n in zip(addresses, networks, strict=True))


def _read(path: Path) -> Reservation | None:
    """The reservation in a file; None for one that a power loss left half written."""
    try:
        document = orjson.loads(path.read_bytes())
        addresses = tuple(ip_address(text) for text in document["addresses"])
        return Reservation(addresses, tuple(document.get("hostPorts") or ()))
    except (ValueError, KeyError, TypeError):
        return None


def _read_last(path: Path) -> dict[Network, Address]:
    try:
        document = orjson.loads(path.read_bytes())
        return {ip_network(network): ip_address(address) for network, address in document.items()}
    except (FileNotFoundError, ValueError, AttributeError):
        return {}


def _replace(path: Path, content: bytes, *, durable: bool) -> None:
    # The temporary file stands beside the directory of sandboxes, so that no reader takes it for one.
    scratch = path.parent.parent / f".{path.name}.new" if durable else path.with_name(f".{path.name}.new")
    with scratch.open("wb") as file:
        file.write(content)
        if durable:
            file.flush()
            os.fsync(file.fileno())
    scratch.replace(path)
