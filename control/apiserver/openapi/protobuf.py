"""The OpenAPI 2 document as a protobuf message: the only form in which client-go asks for it.

Invariant: what the document's JSON says, the message says; parts that the served documents never have are left out.
Source: gnostic's OpenAPIv2.proto (message and field numbers).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import orjson

from api.protobuf.wire import bytes_field, double_field, integer_field

Json = Mapping[str, Any]
Encode = Callable[[Any], bytes]
Fields = Mapping[str, tuple[int, Encode | None]]
"""JSON name → (field number, how a message of it is written; None for what the value itself tells)."""


def document(obj: Json) -> bytes:
    """The message of a whole document."""
    return _message(obj, _DOCUMENT, 16)


def _message(obj: Json, fields: Fields, extensions: int) -> bytes:
    """A message whose vendor extensions (`x-…`) are in the field `extensions`."""
    written = []
    for name, value in obj.items():
        known = fields.get(name)
        if known is not None:
            number, encode = known
            written.append(_plain(number, value) if encode is None else bytes_field(number, encode(value)))
        elif name.startswith("x-"):
            written.append(bytes_field(extensions, _named(name, _any(value))))
    return b"".join(written)


def _plain(number: int, value: Any) -> bytes:
    if isinstance(value, list):
        return b"".join(bytes_field(number, str(one).encode()) for one in value)
    if isinstance(value, bool | int):
        return integer_field(number, value)
    return double_field(number, value) if isinstance(value, float) else bytes_field(number, str(value).encode())


def _any(value: Any) -> bytes:
    """An Any, which carries YAML; JSON is that, too."""
    return bytes_field(2, orjson.dumps(value, option=orjson.OPT_APPEND_NEWLINE))


def _named(name: str, value: bytes) -> bytes:
    return bytes_field(1, name.encode()) + bytes_field(2, value)


def _pairs(number: int, encode: Encode, pairs: Iterable[tuple[str, Any]]) -> bytes:
    return b"".join(bytes_field(number, _named(name, encode(value))) for name, value in pairs)


def _schema(obj: Any) -> bytes:
    # Numbers and unions need more than their field's number tells.
    written = [_message(obj, _SCHEMA, 31)]
    for name, number in (("maximum", 7), ("minimum", 9)):
        if name in obj:
            written.append(double_field(number, float(obj[name])))
    written += [bytes_field(20, _any(value)) for value in obj.get("enum", ())]
    written += [bytes_field(24, _schema(part)) for part in obj.get("allOf", ())]
    return b"".join(written)


def _additional(value: Any) -> bytes:
    return integer_field(2, value) if isinstance(value, bool) else bytes_field(1, _schema(value))


def _type(value: Any) -> bytes:
    return _plain(1, value if isinstance(value, list) else [value])


def _definitions(value: Any) -> bytes:
    return _pairs(1, _schema, value.items())


def _parameters(item: Json) -> bytes:
    """A ParametersItem: a Parameter in its body or in one of its other forms."""
    if item["in"] == "body":
        return bytes_field(1, bytes_field(1, _message(item, _BODY, 6)))
    form = {"header": 1, "formData": 2, "query": 3, "path": 4}[item["in"]]
    fields = _QUERY if item["in"] in ("query", "formData") else _PATH
    return bytes_field(1, bytes_field(2, bytes_field(form, _message(item, fields, 23 if fields is _QUERY else 22))))


def _operation(obj: Any) -> bytes:
    parameters = b"".join(bytes_field(8, _parameters(one)) for one in obj.get("parameters", ()))
    return _message(obj, _OPERATION, 13) + parameters


def _responses(obj: Any) -> bytes:
    return _pairs(1, lambda one: bytes_field(1, _message(one, _RESPONSE, 5)), obj.items())


def _path_item(obj: Any) -> bytes:
    parameters = b"".join(bytes_field(9, _parameters(one)) for one in obj.get("parameters", ()))
    return _message(obj, _PATH_ITEM, 10) + parameters


_SCHEMA: Fields = {
    "$ref": (1, None), "format": (2, None), "title": (3, None), "description": (4, None), "default": (5, _any),
    "maxLength": (11, None), "minLength": (12, None), "pattern": (13, None), "maxItems": (14, None),
    "minItems": (15, None), "uniqueItems": (16, None), "maxProperties": (17, None), "minProperties": (18, None),
    "required": (19, None), "additionalProperties": (21, _additional), "type": (22, _type),
    "items": (23, lambda value: bytes_field(1, _schema(value))), "properties": (25, _definitions),
}  # fmt: skip
_BODY: Fields = {
    "description": (1, None),
    "name": (2, None),
    "in": (3, None),
    "required": (4, None),
    "schema": (5, _schema),
}
_PATH: Fields = {
    "required": (1, None), "in": (2, None), "description": (3, None), "name": (4, None), "type": (5, None),
    "format": (6, None), "uniqueItems": (19, None),
}  # fmt: skip
_QUERY: Fields = {
    "required": (1, None), "in": (2, None), "description": (3, None), "name": (4, None), "type": (6, None),
    "format": (7, None), "uniqueItems": (20, None),
}  # fmt: skip
_RESPONSE: Fields = {"description": (1, None), "schema": (2, lambda value: bytes_field(1, _schema(value)))}
_OPERATION: Fields = {
    "tags": (1, None), "summary": (2, None), "description": (3, None), "operationId": (5, None), "produces": (6, None),
    "consumes": (7, None), "responses": (9, _responses), "schemes": (10, None),
}  # fmt: skip
_PATH_ITEM: Fields = {
    name: (number, _operation)
    for number, name in enumerate(("get", "put", "post", "delete", "options", "head", "patch"), start=2)
}
_INFO: Fields = {"title": (1, None), "version": (2, None), "description": (3, None)}
_DOCUMENT: Fields = {
    "swagger": (1, None), "info": (2, lambda value: _message(value, _INFO, 7)),
    "paths": (8, lambda value: _pairs(2, _path_item, value.items())), "definitions": (9, _definitions),
}  # fmt: skip
