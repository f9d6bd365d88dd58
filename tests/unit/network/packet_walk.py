"""What a ruleset of policies decides of the first packet of a connection, without a kernel."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address, ip_network

from agents.network.nftables.values import (
    Dispatch,
    Established,
    Field,
    InNetworks,
    InSet,
    Key,
    Ports,
    Protocol,
    Rule,
    Ruleset,
    Statement,
    Verdict,
)


@dataclass(frozen=True)
class Packet:
    """The first packet of a connection."""

    source: str
    destination: str
    protocol: int
    port: int

    def read(self, fields: tuple[Field, ...]) -> Key:
        """The key of these fields."""
        values: dict[Field, str | int] = {
            Field.SOURCE: self.source,
            Field.DESTINATION: self.destination,
            Field.PROTOCOL: self.protocol,
            Field.DESTINATION_PORT: self.port,
        }
        return tuple(values[field] for field in fields)


def passes(ruleset: Ruleset, packet: Packet) -> bool:
    """Whether all base chains let the packet through, in the order of their priorities."""
    hooked = [(chain.hook.priority, name) for name, chain in ruleset.chains.items() if chain.hook]
    return all(_walk(ruleset, name, packet) != "drop" for _, name in sorted(hooked))


def _walk(ruleset: Ruleset, chain: str, packet: Packet) -> str:
    """accept, drop, or "" for a chain's end."""
    for rule in ruleset.chains[chain].rules:
        verdict = _verdict(ruleset, rule, packet)
        if verdict is None:
            continue
        if verdict.action in ("accept", "drop"):
            return verdict.action
        found = _walk(ruleset, verdict.chain, packet)
        if found or verdict.action == "goto":
            return found
    return ""


def _verdict(ruleset: Ruleset, rule: Rule, packet: Packet) -> Verdict | None:
    for statement in rule:
        if isinstance(statement, Verdict):
            return statement
        if isinstance(statement, Dispatch):
            found = ruleset.elements[statement.name].get(packet.read(statement.fields))
            return found if isinstance(found, Verdict) else None
        if not _matches(ruleset, statement, packet):
            return None
    return None


def _matches(ruleset: Ruleset, statement: Statement, packet: Packet) -> bool:
    match statement:
        case Established():
            return False
        case Protocol(number):
            return packet.protocol == number
        case Ports(first, last):
            return first <= packet.port <= last
        case InSet(fields, name, inverted):
            return (packet.read(fields) in ruleset.elements[name]) != inverted
        case InNetworks(field, networks, inverted):
            (address,) = packet.read((field,))
            inside = any(ip_address(address) in ip_network(network, strict=False) for network in networks)
            return inside != inverted
    raise AssertionError(f"{statement} has no place in a table of policies")
