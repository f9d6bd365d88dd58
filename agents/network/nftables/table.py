"""One table of nftables that the kernel is made to agree with: what is there is read, only differences are sent.

A rule in the kernel is recognised by the fingerprint in its comment: rules and their anonymous sets cannot be
altered, only removed, so chain by chain the fingerprints tell all. Elements of named sets are compared themselves.

Invariant: every change is one transaction; connections that rules of unchanged chains serve never notice.
Source: Linux net/netfilter/nf_tables_api.c.
"""

from __future__ import annotations

import errno
import logging
import socket
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field

from agents.network.netlink import Message, NetlinkError, NetlinkSocket, attribute, attribute_list, attributes
from agents.network.nftables import encode, expressions
from agents.network.nftables.encode import Encoder
from agents.network.nftables.values import Endpoint, Family, Hook, HookPoint, Key, Ruleset, Set, Value, Verdict

log = logging.getLogger(__name__)

NETLINK_NETFILTER = 12

_ATTEMPTS = 5
_HEADER = 4


@dataclass(slots=True)
class Content:
    """What a table holds, in the terms of comparison.

    Chains by name: hook and the rules' fingerprints. Sets by name: (flags, key type, data type). Elements by set
    name: encoded key to encoded data.
    """

    chains: dict[str, tuple[Hook | None, tuple[str, ...]]] = field(default_factory=dict)
    sets: dict[str, tuple[int, int, int]] = field(default_factory=dict)
    elements: dict[str, dict[bytes, bytes]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.chains or self.sets)


@dataclass(frozen=True, slots=True)
class Difference:
    """What has to happen to get from one content to another; counts for people, messages for the kernel."""

    messages: list[Message]
    added: int = 0
    removed: int = 0
    changed: int = 0

    def __bool__(self) -> bool:
        return bool(self.messages)

    def __str__(self) -> str:
        return f"{self.added} added, {self.removed} removed, {self.changed} changed"


def content_of(ruleset: Ruleset, encoder: Encoder) -> Content:
    """The content that a ruleset asks for."""
    content = Content()
    for name, chain in ruleset.chains.items():
        content.chains[name] = (chain.hook, tuple(encode.fingerprint(rule) for rule in chain.rules))
    for name, definition in ruleset.sets.items():
        content.sets[name] = encoder.set_type(definition)
    return content


def encode_elements(
    ruleset: Ruleset, definitions: Mapping[str, Set], encoder: Encoder
) -> dict[str, dict[bytes, bytes]]:
    """The elements that a ruleset asks for, as the kernel holds them, by set name."""
    return {
        name: {
            encoder.element_key(definitions[name], key): encoder.element_data(value) for key, value in entries.items()
        }
        for name, entries in ruleset.elements.items()
    }


def difference(present: Content, wanted: Content, ruleset: Ruleset, encoder: Encoder) -> Difference:
    """The messages that turn `present` into `wanted`, which is the content of `ruleset`, in an order that works."""
    new_chains = [name for name in wanted.chains if name not in present.chains]
    old_chains = [name for name in present.chains if name not in wanted.chains]
    new_sets = [name for name in wanted.sets if name not in present.sets]
    old_sets = [name for name in present.sets if name not in wanted.sets]
    stale = [
        name
        for name, (_, rules) in wanted.chains.items()
        if name in present.chains and present.chains[name][1] != rules
    ]
    messages = [encoder.new_set(name, ruleset.sets[name]) for name in new_sets]
    messages += [encoder.new_chain(name, ruleset.chains[name]) for name in new_chains]
    removed, added = _element_changes(present, wanted, set(old_sets))
    for name, keys in removed.items():
        messages += encoder.delete_elements(name, keys)
    messages += [encoder.flush_chain(name) for name in (*stale, *old_chains) if present.chains[name][1]]
    for name in (*new_chains, *stale):
        for rule in ruleset.chains[name].rules:
            messages += encoder.rule(name, rule)
    for name, entries in added.items():
        messages += encoder.add_elements(name, entries.items())
    messages += [encoder.delete_chain(name) for name in old_chains]
    messages += [encoder.delete_set(name) for name in old_sets]
    return Difference(
        messages,
        added=len(new_chains) + len(new_sets) + sum(map(len, added.values())),
        removed=len(old_chains) + len(old_sets) + sum(map(len, removed.values())),
        changed=len(stale),
    )


def _element_changes(
    present: Content, wanted: Content, disappearing: set[str]
) -> tuple[dict[str, list[bytes]], dict[str, dict[bytes, bytes]]]:
    """Keys to remove and entries to add, by set; a changed value is a removal and an addition."""
    removed: dict[str, list[bytes]] = {}
    added: dict[str, dict[bytes, bytes]] = {}
    for name in present.elements.keys() | wanted.elements.keys():
        before, after = present.elements.get(name, {}), wanted.elements.get(name, {})
        gone = [key for key, data in before.items() if key not in after or after[key] != data]
        fresh = {key: data for key, data in after.items() if key not in before or before[key] != data}
        # Elements may refer to chains that go, so a set that goes is emptied before it is removed.
        if gone:
            removed[name] = gone
        if fresh and name not in disappearing:
            added[name] = fresh
    return removed, added


class NftTable:
    """The table `name` of a family in the kernel; one task at a time."""

    def __init__(self, name: str, family: Family = Family.IP, kernel: NetlinkSocket | None = None) -> None:
        self.name = name
        self.family = family
        self._kernel = kernel or NetlinkSocket(NETLINK_NETFILTER)
        self._content = Content()
        self._ruleset_sets: dict[str, Set] = {}
        self._generation = 0
        self._siblings: list[NftTable] = []

    def beside(self, other: NftTable) -> None:
        """Let two tables of one process know of each other's changes, which neither takes for somebody else's."""
        self._siblings.append(other)
        other._siblings.append(self)

    def close(self) -> None:
        """Close the socket; the table stays."""
        self._kernel.close()

    def unchanged(self) -> bool:
        """Whether nobody has changed any table since our last look or change."""
        return self._generation != 0 and self._read_generation() == self._generation

    def reconcile(self, ruleset: Ruleset) -> Difference:
        """Read the table, and make it agree with the whole ruleset; what had to be done.

        Raises NetlinkError if the kernel refuses.
        """
        for _ in range(_ATTEMPTS):
            generation = self._read_generation()
            present = self._read()
            encoder = Encoder(self.name, self.family)
            wanted = self._wanted(ruleset, encoder)
            head = [encoder.new_table()] if not present else []
            if _incompatible(present, wanted):
                head = [encoder.delete_table(), encoder.new_table()]
                present = Content()
            found = difference(present, wanted, ruleset, encoder)
            if _misses_elements(present, wanted):
                # A hash table that the kernel resizes while it lists it leaves some out: only what two lists lack is
                # missing.
                self._read_again(present)
                encoder = Encoder(self.name, self.family)
                found = difference(present, wanted, ruleset, encoder)
            if found and not self._commit([*head, *found.messages], generation):
                continue
            self._generation = generation + 1 if found else generation
            self._content = wanted
            self._ruleset_sets = dict(ruleset.sets)
            return found
        raise NetlinkError(errno.EAGAIN, f"table {self.name} changed each time it was read")

    def replace(self, old: Ruleset, new: Ruleset) -> Difference:
        """Change one part of the table, without reading it: `old` is what the part was, `new` what it shall be.

        Raises NetlinkError if the kernel refuses, for instance since somebody removed the table: then `reconcile`.
        """
        encoder = Encoder(self.name, self.family)
        before, after = content_of(old, encoder), content_of(new, encoder)
        definitions = self._ruleset_sets | dict(old.sets) | dict(new.sets)
        before.elements = encode_elements(old, definitions, encoder)
        after.elements = encode_elements(new, definitions, encoder)
        found = difference(before, after, new, encoder)
        if found:
            if not self._commit(found.messages, self._generation):
                # Somebody changed a table, most likely another one: ours is compared when the next look is due.
                self._commit(found.messages, 0)
                self._generation = 0
            elif self._generation:
                self._generation += 1
            self._ruleset_sets.update(new.sets)
            for name in old.sets.keys() - new.sets.keys():
                self._ruleset_sets.pop(name, None)
        return found

    def remove(self) -> bool:
        """Remove the table from the kernel; whether it was there. Raises NetlinkError."""
        encoder = Encoder(self.name, self.family)
        try:
            self._commit([encoder.delete_table()], 0)
        except NetlinkError as error:
            if error.code == errno.ENOENT:
                return False
            raise
        return True

    def lookup(self, name: str, definition: Set, key: Key) -> Value | bool:
        """What the kernel's set has for a key: a map's value, True in a plain set; None without it.

        Raises NetlinkError.
        """
        encoder = Encoder(self.name, self.family)
        request = encoder.get_element(name, encoder.element_key(definition, key))
        try:
            _, payload = self._kernel.get(request)
        except NetlinkError as error:
            if error.code == errno.ENOENT:
                return None
            raise
        ((_, element),) = attribute_list(attributes(payload, _HEADER)[3])
        return _read_value(attributes(element).get(2, b""), self.family)

    def chain_names(self) -> list[str]:
        """The chains that the kernel's table has. Raises NetlinkError."""
        request = struct.pack("=BBH", self.family, 0, 0) + expressions.text(1, self.name)
        found = [attributes(payload, _HEADER) for _, payload in self._dump(encode.GET_CHAIN, request)]
        return [_text(chain[3]) for chain in found if _text(chain[1]) == self.name]

    def _wanted(self, ruleset: Ruleset, encoder: Encoder) -> Content:
        wanted = content_of(ruleset, encoder)
        wanted.elements = encode_elements(ruleset, ruleset.sets, encoder)
        return wanted

    def _commit(self, messages: list[Message], generation: int) -> bool:
        """Send one transaction; False if the generation is not the current one any more."""
        try:
            self._kernel.transaction(encode.transaction(messages, generation))
        except NetlinkError as error:
            if generation and error.code == errno.ERESTART:
                return False
            described = _describe(messages, error.index - 1)
            raise NetlinkError(error.code, f"table {self.name}: {described}{error}", error.index) from error
        for sibling in self._siblings if generation else ():
            if sibling._generation == generation:
                sibling._generation += 1
        return True

    def _read_generation(self) -> int:
        _, payload = self._kernel.get(encode.generation_request())
        return int.from_bytes(attributes(payload, _HEADER).get(1, b""), "big")

    def _read(self) -> Content:
        content = Content()
        request = struct.pack("=BBH", self.family, 0, 0) + expressions.text(1, self.name)
        for _, payload in self._dump(encode.GET_CHAIN, request):
            found = attributes(payload, _HEADER)
            if _text(found[1]) == self.name:
                content.chains[_text(found[3])] = (_read_hook(found), ())
        if not content.chains and not self._dump(encode.GET_SET, request):
            return content
        rules: dict[str, list[str]] = {}
        for _, payload in self._dump(encode.GET_RULE, request):
            found = attributes(payload, _HEADER)
            if _text(found[1]) == self.name:
                rules.setdefault(_text(found[2]), []).append(_read_comment(found.get(7, b"")))
        for name, chain_rules in rules.items():
            content.chains[name] = (content.chains[name][0], tuple(chain_rules))
        for _, payload in self._dump(encode.GET_SET, request):
            found = attributes(payload, _HEADER)
            flags = _number(found.get(3))
            if _text(found[1]) == self.name and not flags & encode.SET_ANONYMOUS:
                name = _text(found[2])
                content.sets[name] = (flags, _number(found.get(4)), _number(found.get(6)))
                if not flags & encode.SET_EVALUATED:
                    content.elements[name] = self._read_elements(request, name)
        return content

    def _read_again(self, content: Content) -> None:
        request = struct.pack("=BBH", self.family, 0, 0) + expressions.text(1, self.name)
        for name, elements in content.elements.items():
            elements.update(self._read_elements(request, name))

    def _read_elements(self, request: bytes, name: str) -> dict[bytes, bytes]:
        elements = {}
        for _, payload in self._dump(encode.GET_ELEMENT, request + expressions.text(2, name)):
            for _, element in attribute_list(attributes(payload, _HEADER).get(3, b"")):
                parts = attributes(element)
                elements[attributes(parts[1])[1]] = _normal_data(parts.get(2, b""))
        return elements

    def _dump(self, kind: int, payload: bytes) -> list[tuple[int, bytes]]:
        try:
            return self._kernel.dump(Message(encode.SUBSYSTEM << 8 | kind, 0, payload))
        except NetlinkError as error:
            if error.code == errno.ENOENT:
                return []
            raise


def _misses_elements(present: Content, wanted: Content) -> bool:
    return any(held and wanted.elements.get(name, {}).keys() - held for name, held in present.elements.items())


def _incompatible(present: Content, wanted: Content) -> bool:
    """Whether a set or base chain exists with another nature, which only a new table can change."""
    return any(name in wanted.sets and wanted.sets[name] != nature for name, nature in present.sets.items()) or any(
        name in wanted.chains and wanted.chains[name][0] != hook for name, (hook, _) in present.chains.items()
    )


def _text(value: bytes) -> str:
    return value.rstrip(b"\0").decode()


def _number(value: bytes | None) -> int:
    return int.from_bytes(value or b"", "big")


def _read_hook(chain: dict[int, bytes]) -> Hook | None:
    if 4 not in chain:
        return None
    hook = attributes(chain[4])
    priority = int.from_bytes(hook[2], "big", signed=True)
    return Hook(_text(chain[7]), HookPoint(_number(hook[1])), priority)


def _read_comment(userdata: bytes) -> str:
    """The rule's comment; "" for a rule without one, which nobody of us made."""
    if len(userdata) < 2 or userdata[0] != 0:
        return ""
    return userdata[2 : 2 + userdata[1]].rstrip(b"\0").decode("utf-8", "replace")


def _read_value(data: bytes, family: Family) -> Value | bool:
    """An element's value: a verdict that leads to a chain, an endpoint, or True where there is none."""
    found = attributes(data)
    if 2 in found:
        verdict = attributes(found[2])
        return Verdict("goto" if 2 in verdict else "accept", _text(verdict.get(2, b"")))
    if 1 in found:
        size = 4 if family is Family.IP else 16
        kind = socket.AF_INET if family is Family.IP else socket.AF_INET6
        return Endpoint(socket.inet_ntop(kind, found[1][:size]), int.from_bytes(found[1][size : size + 2], "big"))
    return True


def _normal_data(data: bytes) -> bytes:
    """An element's data as `Encoder.element_data` writes it: attributes in order, the nested ones marked."""
    if not data:
        return b""
    found = attributes(data)
    if 1 in found:
        return expressions.value_data(found[1])
    verdict = attributes(found[2])
    parts = [attribute(1, verdict[1])]
    if 2 in verdict:
        parts.append(attribute(2, verdict[2]))
    return expressions.nested(2, *parts)


def _describe(messages: list[Message], index: int) -> str:
    """Which object the refused message was about, for the error's text."""
    if not 0 <= index < len(messages):
        return ""
    kinds = {
        encode.NEW_CHAIN: "chain", encode.DELETE_CHAIN: "chain", encode.NEW_RULE: "rule of chain",
        encode.DELETE_RULE: "rules of chain", encode.NEW_SET: "set", encode.DELETE_SET: "set",
        encode.NEW_ELEMENT: "elements of set", encode.DELETE_ELEMENT: "elements of set",
    }  # fmt: skip
    kind = messages[index].type & 0xFF
    found = attributes(messages[index].payload, _HEADER)
    name = found.get(3 if kind in (encode.NEW_CHAIN, encode.DELETE_CHAIN) else 2, b"")
    return f"{kinds.get(kind, 'table')} {_text(name)}: ".replace(" :", ":") if name else ""
