"""Types for the checker, made of JSON schemas: an object with known fields becomes a message.

The checker is thereby told what fields there are and what they hold; evaluation itself works on plain JSON, which
`values.py` prepares.

Invariant: a place whose type a schema does not tell is `dyn`, so what cannot be known is never refused.
Source: apiserver/pkg/cel/openapi and k8s.io/apiextensions-apiserver "type conversions" in the documentation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, duration_pb2, struct_pb2, timestamp_pb2

from api.cel.escaping import escaped

Schema = Mapping[str, Any]
Resolve = Callable[[Schema], Schema]

_PACKAGE = "object"
_FIELD = descriptor_pb2.FieldDescriptorProto
_SCALARS = {
    "string": (_FIELD.TYPE_STRING, "string"), "integer": (_FIELD.TYPE_INT64, "int"),
    "number": (_FIELD.TYPE_DOUBLE, "double"), "boolean": (_FIELD.TYPE_BOOL, "bool"),
}  # fmt: skip
_FORMATS = {
    "date-time": ("google.protobuf.Timestamp", "google.protobuf.Timestamp"),
    "date": ("google.protobuf.Timestamp", "google.protobuf.Timestamp"),
    "duration": ("google.protobuf.Duration", "google.protobuf.Duration"),
}
_VALUE = "google.protobuf.Value"
_DEEPEST = 24


class Types:
    """A descriptor pool that grows by the schemas it is asked about."""

    def __init__(self, resolve: Resolve = lambda schema: schema) -> None:
        self.pool = descriptor_pool.DescriptorPool()
        for module in (struct_pb2, timestamp_pb2, duration_pb2):
            self.pool.AddSerializedFile(module.DESCRIPTOR.serialized_pb)
        self._resolve = resolve
        self._count = 0
        self._named: dict[str, str] = {}

    def add(self, schema: Schema) -> str:
        """The name of the type of values with that schema."""
        file = descriptor_pb2.FileDescriptorProto(name=f"{_PACKAGE}{self._count}.proto", syntax="proto3")
        file.package = f"{_PACKAGE}{self._count}"
        file.dependency.extend(module.DESCRIPTOR.name for module in (struct_pb2, timestamp_pb2, duration_pb2))
        self._count += 1
        self._named.clear()
        name = self._type(schema, file, 0)
        self.pool.AddSerializedFile(file.SerializeToString())
        return name

    def _type(self, declared: Schema, file: Any, depth: int) -> str:
        """The checker's name of a schema's type; messages it needs are added to the file."""
        schema = self._resolve(declared)
        kind = schema.get("type")
        if depth > _DEEPEST or _is_dynamic(schema):
            return "dyn"
        if kind == "array":
            return f"list<{self._type(schema.get('items') or {}, file, depth + 1)}>"
        if kind == "object":
            if schema.get("properties"):
                return self._message(str(declared.get("$ref") or ""), schema, file, depth)
            extra = schema.get("additionalProperties")
            return f"map<string, {self._type(extra, file, depth + 1)}>" if isinstance(extra, Mapping) else "dyn"
        if kind == "string" and schema.get("format") in _FORMATS:
            return _FORMATS[schema["format"]][1]
        if kind == "string" and schema.get("format") == "byte":
            return "bytes"
        return _SCALARS[kind][1] if kind in _SCALARS else "dyn"

    def _message(self, reference: str, schema: Schema, file: Any, depth: int) -> str:
        """The message of an object; one that is referred to by name is made once."""
        if reference in self._named:
            return self._named[reference]
        message = file.message_type.add(name=f"T{len(file.message_type)}")
        name = f"{file.package}.{message.name}"
        if reference:
            self._named[reference] = name
        for number, (field_name, declared) in enumerate(sorted(schema["properties"].items()), 1):
            field = message.field.add(name=escaped(field_name), number=number, label=_FIELD.LABEL_OPTIONAL)
            self._fill(field, message, declared, file, depth + 1)
        return name

    def _fill(self, field: Any, message: Any, declared: Schema, file: Any, depth: int) -> None:
        kind = self._type(declared, file, depth)
        if kind.startswith("list<") and _is_simple(inner := kind[5:-1]):
            field.label = _FIELD.LABEL_REPEATED
            _set_type(field, inner)
        elif kind.startswith("map<") and _is_simple(inner := kind[len("map<string, ") : -1]):
            entry = message.nested_type.add(name=f"E{field.number}Entry")
            entry.options.map_entry = True
            entry.field.add(name="key", number=1, label=_FIELD.LABEL_OPTIONAL, type=_FIELD.TYPE_STRING)
            _set_type(entry.field.add(name="value", number=2, label=_FIELD.LABEL_OPTIONAL), inner)
            field.label, field.type = _FIELD.LABEL_REPEATED, _FIELD.TYPE_MESSAGE
            # Map entries must bear the name that the field gives them.
            entry.name = "".join(part[:1].upper() + part[1:] for part in field.name.split("_")) + "Entry"
            field.type_name = f".{file.package}.{message.name}.{entry.name}"
        else:
            _set_type(field, kind if _is_simple(kind) else "dyn")


def _is_dynamic(schema: Schema) -> bool:
    return bool(
        schema.get("x-kubernetes-int-or-string")
        or schema.get("x-kubernetes-preserve-unknown-fields")
        or schema.get("x-kubernetes-embedded-resource")
        or schema.get("nullable")
        or schema.get("format") == "int-or-string"
    )


def _is_simple(kind: str) -> bool:
    return not kind.startswith(("list<", "map<"))


def _set_type(field: Any, kind: str) -> None:
    scalar = {name: number for number, name in _SCALARS.values()} | {"bytes": _FIELD.TYPE_BYTES}
    if kind in scalar:
        field.type = scalar[kind]
    else:
        field.type = _FIELD.TYPE_MESSAGE
        field.type_name = f".{_VALUE}" if kind == "dyn" else f".{kind}"
