"""Judges values by an OpenAPI v3 schema, in the sentences of the original's validator.

A schema becomes one function per value; each adds causes to a list.
Invariant: compiling never fails for a schema that the definition's own validation accepted.
Source: OpenAPI v3 "Schema Object"; apiextensions-apiserver's validation for reasons and sentences.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping
from typing import Any

from api.cel import patterns
from api.cel.declaring import holds
from api.custom import correlating, structure
from api.custom.structure import Schema
from api.errors import Cause
from api.objects import Object
from api.runtime import parse_timestamp
from api.validation import fields

Check = Callable[[Any, str, list[Cause]], None]
# The same, of an update: with the old value of that place, or NEW.
Comparing = Callable[[Any, str, list[Cause], Any], None]
NEW = object()
"""The old value where there was none, or where nobody can say which it was."""
_UUID = re.compile(r"[0-9a-fA-F]{8}-?([0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}", re.ASCII)
_TYPES: dict[str, Callable[[Any], bool]] = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "integer": lambda value: (
        not isinstance(value, bool) and (isinstance(value, int) or (isinstance(value, float) and value.is_integer()))
    ),
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
}
_COMBINATION = "combination"
_INVALID_TYPE = "FieldValueTypeInvalid"


def validate(check: Comparing, new: Object, old: Object | None) -> list[Cause]:
    """The causes against `new`; on an update those about values that stayed as they were are forgiven."""
    causes: list[Cause] = []
    check(new, "", causes, NEW if old is None else old)
    return [settled(cause, "<nil>") for cause in causes]


def settled(cause: Cause, place: str) -> Cause:
    """The cause as it is told: of a failed combination the original names not the place but that of the whole."""
    return Cause("FieldValueInvalid", cause.message, place) if cause.reason == _COMBINATION else cause


def compiled(schema: Schema) -> Comparing:
    """The function for a schema."""
    checks = [_type_check(schema), *_value_checks(schema)]
    inner = [*_combination_checks(schema), _children(schema)]

    def run(value: Any, path: str, causes: list[Cause], old: Any) -> None:
        if value is None and schema.get("nullable"):
            return
        found: list[Cause] = []
        for check in checks:
            check(value, path, found)
        for compare in inner:
            compare(value, path, found, old)
        if found and (old is NEW or value != old):
            causes += found

    return run


def kind_of(value: Any) -> str:
    """The JSON type of a value, as messages name it."""
    if value is None:
        return "null"
    return next(name for name, is_one in _TYPES.items() if is_one(value))


def _wrong_type(path: str, wanted: str, value: Any) -> Cause:
    have = kind_of(value)
    sentence = f'Invalid value: "{have}": {path} in body must be of type {wanted}: "{have}"'
    return Cause(_INVALID_TYPE, sentence, path)


def _type_check(schema: Schema) -> Check:
    wanted = schema.get("type")

    def run(value: Any, path: str, causes: list[Cause]) -> None:
        if schema.get(structure.INT_OR_STRING):
            if not (_TYPES["integer"](value) or isinstance(value, str)):
                causes.append(_wrong_type(path, "integer,string", value))
        elif wanted and not _TYPES[wanted](value):
            causes.append(_wrong_type(path, wanted, value))

    return run


def _body(path: str, value: Any, sentence: str) -> Cause:
    return fields.invalid(path, value, f"{path} in body {sentence}")


def _value_checks(schema: Schema) -> list[Check]:
    """The checks of a single value, for the keywords that the schema has."""
    known = {
        "enum": _enum, "maximum": _bound, "minimum": _bound, "multipleOf": _multiple, "pattern": _pattern,
        "maxLength": _length, "minLength": _length, "maxItems": _items_count, "minItems": _items_count,
        "maxProperties": _properties_count, "minProperties": _properties_count, "format": _format,
        "required": _required, "uniqueItems": _unique, structure.LIST_TYPE: _list_type,
    }  # fmt: skip
    makers = dict.fromkeys(known[word] for word in known if schema.get(word) is not None)
    return [maker(schema) for maker in makers]


def _enum(schema: Schema) -> Check:
    allowed = schema["enum"]

    def run(value: Any, path: str, causes: list[Cause]) -> None:
        if not any(value == one and isinstance(value, bool) == isinstance(one, bool) for one in allowed):
            causes.append(fields.not_supported(path, value, [str(one) for one in allowed]))

    return run


def _bound(schema: Schema) -> Check:
    low, high = schema.get("minimum"), schema.get("maximum")
    above, below = bool(schema.get("exclusiveMinimum")), bool(schema.get("exclusiveMaximum"))

    def run(value: Any, path: str, causes: list[Cause]) -> None:
        if not _TYPES["number"](value):
            return
        if low is not None and (value < low or (above and value == low)):
            causes.append(_body(path, value, f"should be greater than {'' if above else 'or equal to '}{low}"))
        if high is not None and (value > high or (below and value == high)):
            causes.append(_body(path, value, f"should be less than {'' if below else 'or equal to '}{high}"))

    return run


def _multiple(schema: Schema) -> Check:
    unit = schema["multipleOf"]

    def run(value: Any, path: str, causes: list[Cause]) -> None:
        if _TYPES["number"](value) and value % unit:
            causes.append(_body(path, value, f"should be a multiple of {unit}"))

    return run


def _pattern(schema: Schema) -> Check:
    pattern = str(schema["pattern"])

    def run(value: Any, path: str, causes: list[Cause]) -> None:
        try:
            if isinstance(value, str) and not patterns.matches(pattern, value):
                causes.append(_body(path, value, f"should match '{pattern}'"))
        except patterns.BadPattern as error:
            causes.append(_body(path, value, f"should match '{pattern}', but pattern is invalid: {error}"))

    return run


def _length(schema: Schema) -> Check:
    low, high = schema.get("minLength"), schema.get("maxLength")

    def run(value: Any, path: str, causes: list[Cause]) -> None:
        if not isinstance(value, str):
            return
        if high is not None and len(value) > high:
            causes.append(fields.too_long(path, high))
        if low is not None and len(value) < low:
            causes.append(_body(path, value, f"should be at least {low} chars long"))

    return run


def _items_count(schema: Schema) -> Check:
    low, high = schema.get("minItems"), schema.get("maxItems")

    def run(value: Any, path: str, causes: list[Cause]) -> None:
        if not isinstance(value, list):
            return
        if high is not None and len(value) > high:
            causes.append(fields.too_many(path, len(value), high))
        if low is not None and len(value) < low:
            causes.append(_body(path, value, f"should have at least {low} items"))

    return run


def _properties_count(schema: Schema) -> Check:
    low, high = schema.get("minProperties"), schema.get("maxProperties")

    def run(value: Any, path: str, causes: list[Cause]) -> None:
        if not isinstance(value, dict):
            return
        if high is not None and len(value) > high:
            causes.append(fields.too_many(path, len(value), high))
        if low is not None and len(value) < low:
            causes.append(_body(path, value, f"should have at least {low} properties"))

    return run


def _required(schema: Schema) -> Check:
    names = schema["required"]

    def run(value: Any, path: str, causes: list[Cause]) -> None:
        if isinstance(value, dict):
            missing = [name for name in names if name not in value]
            causes += [fields.required(f"{path}.{name}" if path else name) for name in missing]

    return run


def _unique(schema: Schema) -> Check:
    def run(value: Any, path: str, causes: list[Cause]) -> None:
        if isinstance(value, list) and len({fields.shown(item) for item in value}) < len(value):
            causes.append(_body(path, value, "shouldn't contain duplicates"))

    return run if schema["uniqueItems"] else _nothing


def _list_type(schema: Schema) -> Check:
    keys = schema.get(structure.LIST_KEYS) or ()
    kind = schema[structure.LIST_TYPE]

    def run(value: Any, path: str, causes: list[Cause]) -> None:
        seen: set[str] = set()
        for index, item in enumerate(value if isinstance(value, list) else ()):
            identity = {key: item.get(key) for key in keys} if kind == "map" and isinstance(item, dict) else item
            text = fields.shown(identity)
            if text in seen:
                causes.append(fields.duplicate(f"{path}[{index}]", identity))
            seen.add(text)

    return run if kind in ("set", "map") else _nothing


def _format(schema: Schema) -> Check:
    name = schema["format"]
    check = _FORMATS.get(name)

    def run(value: Any, path: str, causes: list[Cause]) -> None:
        if isinstance(value, str) and check is not None and not check(value):
            sentence = (
                f"Invalid value: {fields.shown(value)}: {path} in body must be of type {name}: {fields.shown(value)}"
            )
            causes.append(Cause("FieldValueInvalid", sentence, path))

    return run


_FORMATS: dict[str, Callable[[str], bool]] = {
    "date-time": lambda text: "T" in text.upper() and holds(parse_timestamp)(text),
    "date": lambda text: bool(re.fullmatch(r"\d{4}-\d\d-\d\d", text)) and holds(parse_timestamp)(text),
    "ipv4": holds(ipaddress.IPv4Address),
    "ipv6": holds(ipaddress.IPv6Address),
    "cidr": holds(lambda text: ipaddress.ip_network(text, strict=False) if "/" in text else int("x")),
    "uuid": lambda text: bool(_UUID.fullmatch(text)),
    "email": lambda text: bool(re.fullmatch(r"[^@\s]+@[^@\s]+", text)),
    "hostname": lambda text: bool(re.fullmatch(r"(?!-)[A-Za-z0-9-]{1,63}(\.(?!-)[A-Za-z0-9-]{1,63})*", text)),
    "uri": lambda text: bool(re.match(r"[A-Za-z][A-Za-z0-9+.-]*:|/", text)),
    "duration": lambda text: bool(re.fullmatch(r"([0-9.]+\s*[a-zµ]+)+|0", text)),
}


def _nothing(value: Any, path: str, causes: list[Cause]) -> None:
    return


def _combination_checks(schema: Schema) -> list[Comparing]:
    found: list[Comparing] = []
    for word, judge in (("allOf", _all), ("anyOf", _any), ("oneOf", _one)):
        if schema.get(word):
            found.append(judge([compiled(part) for part in schema[word]]))
    if schema.get("not") is not None:
        found.append(_not(compiled(schema["not"])))
    return found


def _failures(checks: list[Comparing], value: Any, path: str, old: Any) -> list[list[Cause]]:
    results = []
    for check in checks:
        causes: list[Cause] = []
        check(value, path, causes, old)
        results.append(causes)
    return results


def _least(results: list[list[Cause]]) -> list[Cause]:
    """The causes of the alternative that the value misses by least."""
    return sorted(results, key=lambda found: len(found))[0]


def _composite(path: str, sentence: str) -> Cause:
    """A failed combination, to be settled."""
    return Cause(_COMBINATION, fields.invalid("", "", f"{fields.shown(path)} {sentence}").message, path)


def _all(checks: list[Comparing]) -> Comparing:
    def run(value: Any, path: str, causes: list[Cause], old: Any) -> None:
        failed = [found for found in _failures(checks, value, path, old) if found]
        if failed:
            none = ". None validated" if len(failed) == len(checks) else ""
            causes.append(_composite(path, f"must validate all the schemas (allOf){none}"))
            causes += [cause for found in failed for cause in found]

    return run


def _any(checks: list[Comparing]) -> Comparing:
    def run(value: Any, path: str, causes: list[Cause], old: Any) -> None:
        results = _failures(checks, value, path, old)
        if all(results):
            causes.append(_composite(path, "must validate at least one schema (anyOf)"))
            causes += _least(results)

    return run


def _one(checks: list[Comparing]) -> Comparing:
    def run(value: Any, path: str, causes: list[Cause], old: Any) -> None:
        results = _failures(checks, value, path, old)
        valid = sum(not found for found in results)
        if valid != 1:
            why = "Found none valid" if not valid else f"Found {valid} valid alternatives"
            causes.append(_composite(path, f"must validate one and only one schema (oneOf). {why}"))
            causes += [] if valid else _least(results)

    return run


def _not(check: Comparing) -> Comparing:
    def run(value: Any, path: str, causes: list[Cause], old: Any) -> None:
        if not _failures([check], value, path, old)[0]:
            causes.append(_composite(path, "must not validate the schema (not)"))

    return run


def _children(schema: Schema) -> Comparing:
    properties = {name: compiled(inner) for name, inner in (schema.get("properties") or {}).items()}
    extra, item = schema.get("additionalProperties"), schema.get("items")
    others = compiled(extra) if isinstance(extra, Mapping) else None
    each = compiled(item) if isinstance(item, Mapping) else None

    def run(value: Any, path: str, causes: list[Cause], old: Any) -> None:
        if isinstance(value, dict):
            before = old if isinstance(old, dict) else {}
            for name, inner in value.items():
                check = properties.get(name, others)
                if check is not None:
                    check(inner, f"{path}.{name}" if path else name, causes, before.get(name, NEW))
        elif isinstance(value, list) and each is not None:
            matched = correlating.items(schema, value, old)
            for index, inner in enumerate(value):
                each(inner, f"{path}[{index}]", causes, matched.get(index, NEW))

    return run
