"""Does JSON have the shape that a built-in kind's schema gives it: types, unknown fields, and the spelling of values.

What the original's decoder does on the way into its structs is done here on the way to a dictionary: unknown fields
and nulls fall away, times and quantities take their canonical spelling, and a value of the wrong type is an error.
Invariant: the argument is never changed; parts that are fine are shared with the result.
Source: KEP-2885 (field validation); Go's encoding/json for the sentences.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from api import schema
from api.errors import BadRequest, Cause
from api.objects import Object
from api.registry import Entry
from api.schema import values

_TYPE_INVALID = "FieldValueTypeInvalid"


@dataclass
class CheckResult:
    """The object as it would be stored, what was dropped from it, and what makes it unreadable.

    `unknown` are paths such as `spec.containers[0].imgae`; `causes` are decoding errors, whose messages read like
    `json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32`.
    """

    obj: Any
    unknown: list[str] = field(default_factory=list)
    causes: list[Cause] = field(default_factory=list)


# (value, path, go path, state) -> value as stored; the go path has no indices and begins with a dot.
_Check = Callable[[Any, str, str, CheckResult], Any]


def check(kind: Entry | str, obj: Any) -> CheckResult:
    """Check an object against the schema of a resource or of a definition's name."""
    name = kind if isinstance(kind, str) else kind.definition
    result = CheckResult(obj)
    try:
        result.obj = _definition(name)(obj, "", "", result)
    except RecursionError:
        result.causes.append(Cause(_TYPE_INVALID, "exceeded max depth"))
    return result


def decode_error(kind: str, version: str, causes: Iterable[Cause]) -> BadRequest:
    """The original's answer to a body that does not fit the kind; it names the first problem."""
    first = next(iter(causes)).message
    return BadRequest(f'{kind} in version "{version}" cannot be handled as a {kind}: {first}')


def strict_error(kind: str, version: str, sentences: Iterable[str]) -> BadRequest:
    """The original's answer to unknown or duplicate fields under `fieldValidation=Strict`.

    `sentences` are such as `unknown field "spec.foo"` and `duplicate field "spec.foo"`.
    """
    listed = ", ".join(sentences)
    return BadRequest(f'{kind} in version "{version}" cannot be handled as a {kind}: strict decoding error: {listed}')


def unknown_sentences(result: CheckResult) -> list[str]:
    """What a warning or a strict error says of each unknown field."""
    return [f'unknown field "{path}"' for path in result.unknown]


@lru_cache(maxsize=1024)
def _definition(name: str) -> _Check:
    """The check of a definition; definitions that refer to themselves resolve each other when first used."""
    special = values.BY_DEFINITION.get(name)
    if special is not None:
        return _scalar(special, "")
    declared = schema.definition(name)
    properties = declared.get("properties")
    if properties is None:
        return _passed if declared.get("type") != "object" or name in values.FREE_FORM else _map(_passed)
    return _struct(name.rpartition(".")[2], properties)


def _field(declared: schema.Schema, struct: str) -> _Check:
    reference = declared.get("$ref")
    if isinstance(reference, str):
        special = values.BY_DEFINITION.get(reference)
        return _scalar(special, struct) if special else _deferred(reference)
    kind = declared.get("type")
    if kind == "array":
        items = declared.get("items", {})
        return _list(_field(items, struct), struct, f"[]{_go_type(items)}")
    if kind == "object":
        inner = declared.get("additionalProperties")
        return _map(_field(inner, struct), struct) if isinstance(inner, dict) else _map(_passed, struct)
    scalar = values.BY_TYPE.get((str(kind), str(declared.get("format", "")))) or values.BY_TYPE.get((str(kind), ""))
    return _scalar(scalar, struct) if scalar else _passed


def _deferred(name: str) -> _Check:
    def run(value: Any, path: str, go_path: str, state: CheckResult) -> Any:
        return _definition(name)(value, path, go_path, state)

    return run


def _passed(value: Any, path: str, go_path: str, state: CheckResult) -> Any:
    return value


def _refuse(state: CheckResult, path: str, go_path: str, struct: str, value: Any, go_type: str) -> None:
    where = f"Go struct field {struct}{go_path}" if struct else "Go value"
    sentence = f"json: cannot unmarshal {values.json_kind(value)} into {where} of type {go_type}"
    state.causes.append(Cause(_TYPE_INVALID, sentence, path))


def _scalar(read: values.Scalar, struct: str) -> _Check:
    accept, go_type = read.accept, read.go_type

    def run(value: Any, path: str, go_path: str, state: CheckResult) -> Any:
        try:
            return accept(value)
        except TypeError:
            shown = values.number_kind(value) if go_type.startswith("int") else values.json_kind(value)
            where = f"Go struct field {struct}{go_path}" if struct else "Go value"
            sentence = f"json: cannot unmarshal {shown} into {where} of type {go_type}"
            state.causes.append(Cause(_TYPE_INVALID, sentence, path))
        except ValueError as error:
            state.causes.append(Cause(_TYPE_INVALID, str(error), path))
        return value

    return run


def _struct(struct: str, properties: dict[str, Any]) -> _Check:
    """A JSON object with known fields. Strings, by far the most frequent, are looked at in place."""
    fields = {name: _field(declared, struct) for name, declared in properties.items()}
    plain = {
        name for name, declared in properties.items() if declared.get("type") == "string" and "format" not in declared
    }

    def run(value: Any, path: str, go_path: str, state: CheckResult) -> Any:
        if type(value) is not dict:
            _refuse(state, path, go_path, struct if go_path else "", value, f"v1.{struct}")
            return value
        changed: Object | None = None
        for name, part in value.items():
            if type(part) is str and name in plain:
                continue
            inner = fields.get(name)
            if inner is not None and part is not None:
                place = f"{path}.{name}" if path else name
                read = inner(part, place, f"{go_path}.{name}", state)
                if read is part:
                    continue
                changed = dict(value) if changed is None else changed
                changed[name] = read
                continue
            if inner is None:
                state.unknown.append(f"{path}.{name}" if path else name)
            changed = dict(value) if changed is None else changed
            del changed[name]
        return value if changed is None else changed

    return run


def _go_type(declared: schema.Schema) -> str:
    """What Go calls the items of a list: `v1.Container`, `string`."""
    reference = declared.get("$ref")
    return f"v1.{reference.rpartition('.')[2]}" if isinstance(reference, str) else str(declared.get("type", ""))


def _list(inner: _Check, struct: str, go_type: str) -> _Check:
    def run(value: Any, path: str, go_path: str, state: CheckResult) -> Any:
        if type(value) is not list:
            _refuse(state, path, go_path, struct, value, go_type)
            return value
        read = [
            item if type(item) is str and inner is _passed else inner(item, f"{path}[{index}]", go_path, state)
            for index, item in enumerate(value)
        ]
        return value if all(map(_same, read, value)) else read

    return run


def _same(left: Any, right: Any) -> bool:
    return left is right


def _map(inner: _Check, struct: str = "") -> _Check:
    def run(value: Any, path: str, go_path: str, state: CheckResult) -> Any:
        if type(value) is not dict:
            _refuse(state, path, go_path, struct, value, "map[string]string")
            return value
        if inner is _passed:
            return value
        read = {
            key: inner("" if item is None else item, f"{path}.{key}", go_path, state) for key, item in value.items()
        }
        return value if all(read[key] is value[key] for key in read) else read

    return run
