"""`Object{...}` and `JSONPatch{...}`, the literals of mutating admission policies, as literals of maps.

The evaluator constructs messages of types that it knows, and these have whatever fields an object has. So a literal
becomes a map that bears its type's name in one more member, `$type`, which `plain` takes out again when it has
compared it with the place where the literal stands.

Invariant: text without such literals is left as it is.
Source: apiserver/pkg/cel/mutation/dynamic; the grammar of the Common Expression Language, for what a token is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

_TEXTS = (
    r'"""(?:\\.|[^\\])*?"""', r"'''(?:\\.|[^\\])*?'''", r'"(?:\\.|[^"\\\n])*"', r"'(?:\\.|[^'\\\n])*'",
)  # fmt: skip
_RAW_TEXTS = (r'""".*?"""', r"'''.*?'''", r'"[^"\n]*"', r"'[^'\n]*'")
TOKEN = re.compile(
    r"(?P<space>(?:\s|//[^\n]*)+)"
    rf"|(?P<raw>(?:[bB]?[rR]|[rR][bB])(?:{'|'.join(_RAW_TEXTS)}))"
    rf"|(?P<text>[bB]?(?:{'|'.join(_TEXTS)}))"
    r"|(?P<name>[A-Za-z_]\w*|`[^`\n]*`)"
    r"|(?P<other>.)",
    re.DOTALL,
)
_LITERAL = re.compile(r"(Object(?:\s*\.\s*[A-Za-z_]\w*)*|JSONPatch)\s*\{")
_TYPE = "$type"
OBJECT, JSON_PATCH = "Object", "JSONPatch"


@dataclass
class _Bracket:
    """An open bracket; `named` says that a field's name may come next."""

    is_literal: bool
    named: bool = True


@lru_cache(1024)
def rewritten(text: str) -> str:
    """The expression with maps in place of the literals."""
    return "".join(_pieces(text)) if _LITERAL.search(text) else text


def _pieces(text: str) -> Iterator[str]:
    open_brackets: list[_Bracket] = []
    position, last = 0, ""
    while position < len(text):
        literal = _LITERAL.match(text, position) if last != "." else None
        if literal:
            yield f'{{"{_TYPE}": dyn("{"".join(literal[1].split())}"), '
            open_brackets.append(_Bracket(is_literal=True))
            position, last = literal.end(), "{"
            continue
        token = TOKEN.match(text, position)
        assert token is not None
        position = token.end()
        yield _field(token, open_brackets) or token[0]
        if token["space"] is None:
            last = token[0]


def _field(token: re.Match[str], open_brackets: list[_Bracket]) -> str:
    """What stands for the name of a literal's field, "" for any other token; either way the brackets are up to date."""
    if token["space"] is not None:
        return ""
    here = open_brackets[-1] if open_brackets else _Bracket(is_literal=False)
    piece = token[0]
    if here.is_literal and here.named and token["name"] is not None:
        here.named = False
        return '"' + piece.strip("`") + '"'
    if piece in ("{", "[", "("):
        open_brackets.append(_Bracket(is_literal=False))
    elif piece in ("}", "]", ")") and open_brackets:
        open_brackets.pop()
    elif piece == ",":
        here.named = True
    return ""


def is_type(wanted: str, found: str) -> bool:
    """Whether a compiled expression's type, as `Program.result_type` tells it, may be what is wanted."""
    return found == {OBJECT: "MAP<STRING, DYN>", JSON_PATCH: "LIST<MAP<STRING, DYN>>"}[wanted]


def type_of(value: Any) -> str:
    """The name of the literal's type that a value was written as, "" for any other."""
    return str(value.get(_TYPE, "")) if isinstance(value, dict) else ""


def plain(value: Any) -> Any:
    """The value without its types' names. Raises ValueError for a literal whose type is not that of its place."""
    wrong: list[str] = []
    found = _plain(value, type_of(value), wrong)
    if wrong:
        raise ValueError("type mismatch: " + "\n".join(wrong))
    return found


def _plain(value: Any, place: str, wrong: list[str]) -> Any:
    if isinstance(value, list):
        return [_plain(one, place, wrong) for one in value]
    if not isinstance(value, dict):
        return value
    name = type_of(value)
    if name and place and name != place:
        expected = f'expected "{place}", which matches field name path from root Object type'
        wrong.append(f'unexpected type name "{name}", {expected}')
    made = {}
    for field, inner in value.items():
        if field != _TYPE:
            below = f"{place}.{field}" if name and place else place
            made[field] = _plain(inner, type_of(inner) if name == JSON_PATCH else below, wrong)
    return made
