"""Which hosts a pattern names: `web:db`, `all:!old:&live`, `web[0:2]`, `node*`, `~node\\d+`.

Invariant: pure; the order is that of the inventory, each host once. A name that is neither group nor host is an
error where it is asked for strictly, since a silently empty play is what a typing mistake looks like.
Source: Ansible, "Patterns: targeting hosts and groups".
"""

from __future__ import annotations

import difflib
import fnmatch
import re
from collections.abc import Iterable, Sequence

from inventory.errors import InventoryError
from inventory.model import Inventory

_LOCAL = ("localhost", "127.0.0.1", "::1")
_SUBSCRIPT = re.compile(r"^(?P<name>.+)\[(?:(?P<one>-?\d+)|(?P<first>\d*)[:-](?P<last>-?\d*))\]$")


def split(pattern: str | Iterable[str]) -> list[str]:
    """The pieces of a pattern: commas part it, or else colons outside brackets unless it is an IPv6 address."""
    if not isinstance(pattern, str):
        return [piece for part in pattern for piece in split(part)]
    if "," in pattern:
        return [piece.strip() for piece in pattern.split(",") if piece.strip()]
    pattern = pattern.strip()
    if re.fullmatch(r"[!&]?[0-9a-fA-F:]*::[0-9a-fA-F:]*", pattern):
        return [pattern]
    pieces: list[str] = []
    current, depth = "", 0
    for character in pattern:
        depth += (character == "[") - (character == "]")
        # A group of a regular expression that keeps nothing begins with `(?:`.
        if character == ":" and depth == 0 and not current.endswith("(?"):
            pieces.append(current)
            current = ""
        else:
            current += character
    return [piece.strip() for piece in (*pieces, current) if piece.strip()]


def match(inventory: Inventory, pattern: str | Iterable[str], *, strict: bool = True) -> list[str]:
    """The hosts a pattern names. Raises InventoryError for an unknown name when `strict`, else it matches nothing."""
    pieces = split(pattern)
    plain = [piece for piece in pieces if piece[0] not in "!&"]
    hosts: dict[str, None] = {}
    for piece in plain or ["all"]:
        hosts.update(dict.fromkeys(_piece(inventory, piece, strict)))
    for piece in pieces:
        if piece[0] == "&":
            kept = set(_piece(inventory, piece[1:], strict))
            hosts = {host: None for host in hosts if host in kept}
    for piece in pieces:
        if piece[0] == "!":
            for host in _piece(inventory, piece[1:], strict):
                hosts.pop(host, None)
    return list(hosts)


def strangers(inventory: Inventory, pattern: str | Iterable[str]) -> dict[str, str]:
    """The pieces of a pattern that name nothing, and of each the known name that it is most like, or ""."""
    found: dict[str, str] = {}
    for piece in split(pattern):
        name = piece.lstrip("!&")
        try:
            _piece(inventory, name, strict=True)
        except InventoryError:
            found[name] = next(iter(_close(inventory, name)), "")
    return found


def _piece(inventory: Inventory, piece: str, strict: bool) -> Sequence[str]:
    found = None
    subscript = None if piece in inventory.hosts else _SUBSCRIPT.match(piece)
    if subscript:
        members = _named(inventory, subscript["name"])
        found = None if members is None else _slice(members, subscript)
    if found is None:
        found = _named(inventory, piece)
    if found is None and strict:
        raise InventoryError(_unknown(inventory, piece))
    return found or ()


def _named(inventory: Inventory, name: str) -> list[str] | None:
    """The hosts of a group name, host name, glob or `~regular expression`; None if nothing is called so."""
    if name in inventory.groups:
        return list(inventory.hosts_of(name))
    if name in inventory.hosts:
        return [name]
    if name.startswith("~"):
        matches = re.compile(name[1:]).match
    elif any(character in name for character in "*?["):
        matches = re.compile(fnmatch.translate(name)).match
    else:
        return [name] if name in _LOCAL else None
    found: dict[str, None] = {}
    for group in inventory.groups:
        if matches(group):
            found.update(dict.fromkeys(inventory.hosts_of(group)))
    found.update(dict.fromkeys(host for host in inventory.hosts_of("all") if matches(host)))
    return list(found) or None


def _slice(members: list[str], subscript: re.Match[str]) -> list[str]:
    if subscript["one"] is not None:
        index = int(subscript["one"])
        return [members[index]] if -len(members) <= index < len(members) else []
    first = int(subscript["first"] or 0)
    last = int(subscript["last"]) if subscript["last"] else -1
    return members[first:] if last == -1 else members[first : last + 1]


def _close(inventory: Inventory, name: str) -> list[str]:
    return difflib.get_close_matches(name, [*inventory.groups, *inventory.hosts], 1)


def _unknown(inventory: Inventory, name: str) -> str:
    close = _close(inventory, name)
    hint = f"did you mean {close[0]!r}?" if close else f"known groups: {', '.join(sorted(inventory.groups))}"
    where = ", ".join(inventory.sources) or "the inventory"
    return f"pattern {name!r} names neither a group nor a host of {where}; {hint}"
