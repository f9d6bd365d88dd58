"""`format.dns1123Label().validate(text)` and the like: what is wrong with a text, as an optional list of sentences.

The evaluator takes no optional values from functions, so those of this module are lists of at most one item, and a
`[?0]` is put after each call.

Invariant: a text that has the form has no sentences, and the optional list is absent.
Source: apiserver/pkg/cel/library/format.go.
"""

from __future__ import annotations

import base64
import datetime
import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from cel_expr_python import cel

from api import names
from api.cel.addresses import parse
from api.cel.constructors import TOKEN
from api.cel.declaring import holds, method, plain

T = cel.Type
_FORM = "format"
_OPTIONAL_CALL = re.compile(r"\.\s*(validate|named)\s*\(")
_OPENING, _CLOSING = ("(", "[", "{"), (")", "]", "}")
_UUID = re.compile(r"[0-9a-fA-F]{8}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{12}")

Judge = Callable[[str], list[str]]


def _prefix(judge: Judge) -> Judge:
    """Judges the beginning of a name that a server makes up the rest of: a dash at its end is none in the name."""
    return lambda text: judge(text[:-1] + "a" if len(text) > 1 and text.endswith("-") else text)


def _unless(read: Callable[[str], Any], sentence: str) -> Judge:
    good = holds(read)
    return lambda text: [] if good(text) else [sentence]


def _uri(text: str) -> list[str]:
    try:
        parse(text)
    except ValueError as error:
        return [str(error)]
    return []


def _date(text: str) -> None:
    datetime.datetime.strptime(text, "%Y-%m-%d")


def _moment(text: str) -> None:
    if not re.match(r"\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}", text, re.ASCII):
        raise ValueError(text)
    datetime.datetime.fromisoformat(text.replace("z", "Z"))


def _uuid(text: str) -> list[str]:
    return [] if _UUID.fullmatch(text) else ["does not match the UUID format"]


_JUDGES: dict[str, Judge] = {
    "dns1123Label": names.dns_label_problems,
    "dns1123Subdomain": names.dns_subdomain_problems,
    "dns1035Label": names.dns_1035_label_problems,
    "qualifiedName": names.label_key_problems,
    "dns1123LabelPrefix": _prefix(names.dns_label_problems),
    "dns1123SubdomainPrefix": _prefix(names.dns_subdomain_problems),
    "dns1035LabelPrefix": _prefix(names.dns_1035_label_problems),
    "labelValue": names.label_value_problems,
    "uri": _uri,
    "uuid": _uuid,
    "byte": _unless(partial(base64.b64decode, validate=True), "invalid base64"),
    "date": _unless(_date, "invalid date"),
    "datetime": _unless(_moment, "invalid datetime"),
}


def _named(name: str) -> list[dict[str, Any]]:
    return [{_FORM: name}] if name in _JUDGES else []


def _validate(form: Any, text: str) -> list[list[str]]:
    found = _JUDGES[form[_FORM]](text)
    return [found] if found else []


def with_optional_values(text: str) -> str:
    """The expression with `[?0]` after each call that has an optional value."""
    return "".join(_pieces(text)) if _OPTIONAL_CALL.search(text) else text


def _pieces(text: str) -> Iterator[str]:
    """Tokens; `calls` has an entry for each open bracket, true if what closes it ends such a call."""
    calls: list[bool] = []
    before: list[str] = []
    for token in TOKEN.finditer(text):
        piece = token[0]
        yield piece
        if token["space"] is not None:
            continue
        if piece in _OPENING:
            calls.append(piece == "(" and (before[-2:] == [".", "validate"] or before[-3:] == ["format", ".", "named"]))
        elif piece in _CLOSING and calls and calls.pop():
            yield "[?0]"
        before = [*before[-2:], piece]


FORMS = [
    *(plain(f"format.{name}", T.DYN, [], partial(dict, {_FORM: name})) for name in _JUDGES),
    plain("format.named", T.List(T.DYN), [T.STRING], _named),
    method("validate", T.List(T.List(T.STRING)), [T.DYN, T.STRING], _validate),
]
