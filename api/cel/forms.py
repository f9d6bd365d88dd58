"""`format.dns1123Label().validate(text)` and the like: what is wrong with a text, as an optional list of sentences.

The evaluator takes no optional values from functions, so those of this module are maps with one member or none. They
have `hasValue` and `value`, and so `optMap` and `optFlatMap`, which are made of these, but not `or` and `orValue`,
which the evaluator does itself.

Invariant: a text that has the form has no sentences, and the optional list is absent.
Source: apiserver/pkg/cel/library/format.go.
"""

from __future__ import annotations

import base64
import datetime
import re
from collections.abc import Callable
from functools import partial
from typing import Any

from cel_expr_python import cel

from api import names
from api.cel.addresses import parse
from api.cel.declaring import holds, method, plain

T = cel.Type
_FORM = "format"
_PRESENT = "$optional"
_OPTIONAL = T.Map(T.STRING, T.DYN)
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


def _named(name: str) -> dict[str, Any]:
    return {_PRESENT: {_FORM: name}} if name in _JUDGES else {}


def _validate(form: Any, text: str) -> dict[str, Any]:
    found = _JUDGES[form[_FORM]](text)
    return {_PRESENT: found} if found else {}


def _value(optional: Any) -> Any:
    if _PRESENT not in optional:
        raise ValueError("optional.none() dereference")
    return optional[_PRESENT]


FORMS = [
    *(plain(f"format.{name}", _OPTIONAL, [], partial(dict, {_FORM: name})) for name in _JUDGES),
    plain("format.named", _OPTIONAL, [T.STRING], _named),
    method("validate", _OPTIONAL, [T.DYN, T.STRING], _validate),
    method("hasValue", T.BOOL, [_OPTIONAL], lambda optional: _PRESENT in optional),
    method("value", T.DYN, [_OPTIONAL], _value),
]
