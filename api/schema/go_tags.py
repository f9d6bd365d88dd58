"""What the tags of a Go struct's field say of its protobuf message and of its JSON, for the distiller only.

Invariant: a field's number and names come from its tags; none is written by hand.
Source: the tags that go-to-protobuf writes into the API's types.go.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

_PROTOBUF = re.compile(r'protobuf:"[a-z0-9]+,([0-9]+),([a-z]+)(?:[^"]*?name=([A-Za-z0-9_]+))?')
_JSON = re.compile(r'json:"([^",]*)')
_HIDDEN = "-"

# {field: [number, kind, label, definition of the value]}. `label` is "" for a value that is always there, "optional"
# for a pointer, "repeated", "map", or "inline" for one whose fields JSON shows on its parent; a map's kind and
# definition are those of its values.
Message = dict[str, list[Any]]


class Tagged(NamedTuple):
    """A field of a message. `inline`: JSON shows its fields on its parent, if it is a message. Not all that
    is repeated says so."""

    name: str
    number: int
    repeated: bool
    inline: bool


def read(field: str, tag: str, *, embedded: bool) -> Tagged | None:
    """What a field's tags say; None for one that is not in the message."""
    numbered = _PROTOBUF.search(tag)
    if numbered is None:
        return None
    found = _JSON.search(tag)
    json = found[1] if found else ""
    name = numbered[3] or field[:1].lower() + field[1:]
    inline = not json and embedded
    return Tagged(json if json not in ("", _HIDDEN) else name, int(numbered[1]), numbered[2] == "rep", inline)
