"""Rules for the schemas of custom resources: what may be said in them, and where.

Invariant: of a schema without causes every value has one type, and what is said of values lies beside that of types.
Source: apiextensions-apiserver's pkg/apiserver/schema/{validation,complete}.go and its validation of JSONSchemaProps;
"Specifying a structural schema" in the documentation.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from api.cel import patterns
from api.custom import pruning, structure, validating
from api.validation import fields
from api.validation.fields import Causes

Schema = Mapping[str, Any]

_TYPES = ("array", "boolean", "integer", "number", "object", "string")
_NOT_SUPPORTED = ("$ref", "additionalItems", "definitions", "dependencies", "id", "patternProperties")
_LOGICAL = ("allOf", "anyOf", "oneOf")
_MAP_TYPE = "x-kubernetes-map-type"
_NUMBER_OR_TEXT = [{"type": "integer"}, {"type": "string"}]
_OUTSIDE_LOGIC = {
    "type": "must be empty to be structural",
    "title": "must be empty to be structural",
    "description": "must be empty to be structural",
    "additionalProperties": "must be undefined to be structural",
    "default": "must be undefined to be structural",
    "nullable": "must be false to be structural",
    structure.PRESERVE: "must be false to be structural",
    structure.EMBEDDED: "must be false to be structural",
    structure.INT_OR_STRING: "must be false to be structural",
    structure.LIST_KEYS: "must be empty to be structural",
    structure.LIST_TYPE: "must be undefined to be structural",
    _MAP_TYPE: "must be undefined to be structural",
}
_EMPTY_TYPES = {
    "root": "must not be empty at the root",
    "item": "must not be empty for specified array items",
    "field": "must not be empty for specified object fields",
}


def problems(path: str, schema: Schema) -> Causes:
    """All that is wrong with the schema of a version; `path` is its own."""
    found = (
        _anywhere(path, schema, root=True) + _structural(path, schema, "root") + _complete(schema, schema, path, path)
    )
    return found or list(_defaults(path, schema))


def _anywhere(path: str, schema: Schema, within: str = "", no_default: str = "", root: bool = False) -> Causes:
    """What holds for every schema, those within others too.

    `within` names the field of an object's own that the schema is in, `no_default` says why none may be set there.
    """
    kind = schema.get("type") or ""
    found: Causes = []
    if kind and kind not in _TYPES:
        found.append(fields.not_supported(f"{path}.type", kind, _TYPES))
    if kind == "null":
        detail = "type cannot be set to null, use nullable as an alternative"
        found.append(fields.forbidden(f"{path}.type", detail))
    if no_default and schema.get("default") is not None:
        found.append(fields.forbidden(f"{path}.default", f"must not be set {no_default}"))
    for word in _NOT_SUPPORTED:
        if schema.get(word):
            found.append(fields.forbidden(f"{path}.{word}", f"{word} is not supported"))
    if within and schema.get(structure.EMBEDDED):
        found.append(fields.forbidden(f"{path}.{structure.EMBEDDED}", "must not be used inside of resource meta"))
    if schema.get("uniqueItems"):
        detail = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic"
        found.append(fields.forbidden(f"{path}.uniqueItems", detail))
    extra = schema.get("additionalProperties")
    if schema.get("properties") and (extra is False or isinstance(extra, Mapping)):
        detail = "additionalProperties and properties are mutual exclusive"
        found.append(fields.forbidden(f"{path}.additionalProperties", detail))
    if schema.get(structure.PRESERVE) is False:
        found.append(fields.invalid(f"{path}.{structure.PRESERVE}", False, "must be true or undefined"))
    for name, inner in _below(schema):
        found += _anywhere(f"{path}.{name}", inner, *_surroundings(name, schema, within, no_default, root))
    return found + _maps(path, schema) + _lists(path, schema)


def _surroundings(name: str, schema: Schema, within: str, no_default: str, root: bool) -> tuple[str, str]:
    """Within what the part of that name is, and why it may have no default."""
    own = name.removeprefix("properties[").removesuffix("]") if name.startswith("properties[") else ""
    if own in structure.OF_OBJECTS and (root or schema.get(structure.EMBEDDED)):
        return own, f"in top-level {own}" if root else no_default
    if within and name == "additionalProperties":
        return within, "inside additionalProperties applying to object metadata"
    return within, no_default


def _below(schema: Schema) -> Iterator[tuple[str, Schema]]:
    for name, inner in (schema.get("properties") or {}).items():
        yield f"properties[{name}]", inner
    for word in ("additionalProperties", "not", "items"):
        if isinstance(schema.get(word), Mapping):
            yield word, schema[word]
    for word in _LOGICAL:
        for index, inner in enumerate(schema.get(word) or []):
            yield f"{word}[{index}]", inner


def _of_type(path: str, schema: Schema, wanted: str, word: str) -> Causes:
    kind, detail = schema.get("type"), f"must be {wanted} if {word} is specified"
    if kind == wanted:
        return []
    return [fields.invalid(f"{path}.type", kind, detail) if kind else fields.required(f"{path}.type", detail)]


def _maps(path: str, schema: Schema) -> Causes:
    kind = schema.get(_MAP_TYPE)
    if kind is None:
        return []
    found = _of_type(path, schema, "object", _MAP_TYPE)
    if kind not in ("atomic", "granular"):
        found.append(fields.not_supported(f"{path}.{_MAP_TYPE}", kind, ("atomic", "granular")))
    return found


def _lists(path: str, schema: Schema) -> Causes:
    kind, keys = schema.get(structure.LIST_TYPE), schema.get(structure.LIST_KEYS) or []
    place, items = f"{path}.{structure.LIST_TYPE}", structure.items(schema)
    found: Causes = []
    if kind is not None:
        found += _of_type(path, schema, "array", structure.LIST_TYPE)
    if kind == "set" and not found:
        found += _set_items(f"{path}.items", items)
    if kind is not None and kind not in ("atomic", "set", "map"):
        found.append(fields.not_supported(place, kind, ("atomic", "set", "map")))
    if keys and kind != "map":
        detail = "must be map if x-kubernetes-list-map-keys is non-empty"
        found.append(fields.required(place, detail) if kind is None else fields.invalid(place, kind, detail))
    if kind == "map":
        found += _map_items(path, schema, keys, items)
    if kind in ("set", "map") and items.get("nullable"):
        detail = f"cannot be nullable when x-kubernetes-list-type is {kind}"
        found.append(fields.forbidden(f"{path}.items.nullable", detail))
    return found


def _set_items(path: str, items: Schema) -> Causes:
    """Items of a set are compared as wholes."""
    detail = "must be atomic as item of a list with x-kubernetes-list-type=set"
    if items.get("type") == "array" and items.get(structure.LIST_TYPE) not in (None, "atomic"):
        return [fields.invalid(f"{path}.{structure.LIST_TYPE}", items[structure.LIST_TYPE], detail)]
    if items.get("type") == "object" and items.get(_MAP_TYPE) != "atomic":
        return [fields.invalid(f"{path}.{_MAP_TYPE}", items.get(_MAP_TYPE), detail)]
    return []


def _map_items(path: str, schema: Schema, keys: list[str], items: Schema) -> Causes:
    """Items of a map are told apart by scalars that each of them has."""
    place, scalars = f"{path}.{structure.LIST_KEYS}", "if parent array's x-kubernetes-list-type is map"
    found = [] if keys else [fields.required(place, "must not be empty if x-kubernetes-list-type is map")]
    if not isinstance(schema.get("items"), Mapping):
        detail = "must have a schema if x-kubernetes-list-type is map"
        return [*found, fields.required(f"{path}.items", detail)]
    if items.get("type") != "object":
        return [*found, fields.invalid(f"{path}.items.type", items.get("type"), f"must be object {scalars}")]
    for index, key in enumerate(keys):
        inner, at = (items.get("properties") or {}).get(key), f"{path}.items.properties[{key}]"
        if key in keys[:index]:
            found.append(fields.invalid(place, keys, "must not contain duplicate entries"))
        if inner is None:
            found.append(fields.invalid(place, keys, "entries must all be names of item properties"))
            continue
        if inner.get("type") in ("array", "object"):
            found.append(fields.invalid(f"{at}.type", inner["type"], f"must be a scalar type {scalars}"))
        about = "this property is in x-kubernetes-list-map-keys, so it"
        if key not in (items.get("required") or []) and inner.get("default") is None:
            found.append(fields.required(f"{at}.default", f"{about} must have a default or be a required property"))
        if inner.get("nullable"):
            found.append(fields.forbidden(f"{at}.nullable", f"{about} cannot be nullable"))
    return found


def _structural(path: str, schema: Schema, level: str) -> Causes:
    """What makes a schema structural, but for what is within `allOf` and its like."""
    found: Causes = []
    if schema.get("type") == "array" and not isinstance(schema.get("items"), Mapping):
        found.append(fields.required(f"{path}.items", "must be specified"))
    if isinstance(schema.get("items"), Mapping):
        found += _structural(f"{path}.items", schema["items"], "item")
    for name, inner in (schema.get("properties") or {}).items():
        found += _structural(f"{path}.properties[{name}]", inner, "field")
    extra = schema.get("additionalProperties")
    if extra is not None and level == "root":
        found.append(fields.forbidden(f"{path}.additionalProperties", "must not be used at the root"))
    if isinstance(extra, Mapping):
        found += _structural(f"{path}.additionalProperties", extra, "field")
    if schema.get(structure.INT_OR_STRING):
        for word in (structure.PRESERVE, structure.EMBEDDED):
            if schema.get(word):
                detail = "must be false if x-kubernetes-int-or-string is true"
                found.append(fields.invalid(f"{path}.{word}", True, detail))
        if schema.get("type"):
            found.append(fields.forbidden(f"{path}.type", "must be empty if x-kubernetes-int-or-string is true"))
    found += _of_values(path, schema, _is_number_or_text(schema))
    return found + _typed(path, schema, level) + _own_fields(path, schema, level)


def _typed(path: str, schema: Schema, level: str) -> Causes:
    kind, place = schema.get("type") or "", f"{path}.type"
    embedded = "must be object if x-kubernetes-embedded-resource is true"
    if schema.get(structure.EMBEDDED) and kind != "object":
        return [fields.invalid(place, kind, embedded) if kind else fields.required(place, embedded)]
    if not kind and not schema.get(structure.INT_OR_STRING) and not schema.get(structure.PRESERVE):
        return [fields.required(place, _EMPTY_TYPES[level])]
    if level == "root" and kind and kind != "object":
        return [fields.invalid(place, kind, "must be object at the root")]
    return []


def _own_fields(path: str, schema: Schema, level: str) -> Causes:
    """What every object has of itself is of the usual types, and its metadata is nobody's to describe."""
    embedded, properties = schema.get(structure.EMBEDDED), schema.get("properties") or {}
    found: Causes = []
    if embedded and schema.get("additionalProperties") is not None:
        detail = "must not be used if x-kubernetes-embedded-resource is set"
        found.append(fields.forbidden(f"{path}.additionalProperties", detail))
    if embedded and not schema.get(structure.PRESERVE) and not properties:
        detail = (
            "must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields"
        )
        found.append(fields.required(f"{path}.properties", detail))
    if level != "root" and not embedded:
        return found
    for name, wanted in (("kind", "string"), ("apiVersion", "string"), ("metadata", "object")):
        if name in properties and properties[name].get("type") != wanted:
            place = f"{path}.properties[{name}].type"
            found.append(fields.invalid(place, properties[name].get("type") or "", f"must be {wanted}"))
    metadata = properties.get("metadata") or {}
    known = {"name", "generateName"} >= (metadata.get("properties") or {}).keys()
    if level == "root" and (not known or metadata.keys() - {"type", "default", "properties", "description"}):
        detail = "must not specify anything other than name and generateName, but metadata is implicitly specified"
        found.append(fields.forbidden(f"{path}.properties[metadata]", detail))
    return found


def _is_number_or_text(schema: Schema) -> str:
    """Where the schema says by alternatives that a value is a number or a text, which is allowed there only."""
    if schema.get("anyOf") == _NUMBER_OR_TEXT:
        return "anyOf"
    first = (schema.get("allOf") or [{}])[0]
    return "allOf" if first.get("anyOf") == _NUMBER_OR_TEXT else ""


def _of_values(path: str, schema: Schema, skipped: str = "") -> Causes:
    """What a schema says of values beyond their types."""
    found: Causes = []
    for word in _LOGICAL:
        for index, inner in enumerate(schema.get(word) or []):
            if word == "anyOf" == skipped:
                continue
            first = word == "allOf" == skipped and index == 0
            found += _within_logic(f"{path}.{word}[{index}]", inner, "anyOf" if first else "")
    if isinstance(schema.get("not"), Mapping):
        found += _within_logic(f"{path}.not", schema["not"])
    if schema.get("pattern"):
        try:
            patterns.check(schema["pattern"])
        except patterns.BadPattern as error:
            detail = f"must be a valid regular expression, but isn't: error parsing regexp: {error}"
            found.append(fields.invalid(f"{path}.pattern", schema["pattern"], detail))
    return found


def _within_logic(path: str, schema: Schema, skipped: str = "") -> Causes:
    """Within `allOf` and its like nothing is said of types."""
    found = _of_values(path, schema, skipped)
    if isinstance(schema.get("items"), Mapping):
        found += _within_logic(f"{path}.items", schema["items"])
    for name, inner in (schema.get("properties") or {}).items():
        found += _within_logic(f"{path}.properties[{name}]", inner)
    for word, sentence in _OUTSIDE_LOGIC.items():
        given = schema.get(word)
        if given is not None and (given not in ("", False, []) or word in ("additionalProperties", "default")):
            found.append(fields.forbidden(f"{path}.{word}", sentence))
    if "metadata" in (schema.get("properties") or {}):
        found.append(fields.forbidden(f"{path}.properties[metadata]", "must not be specified in a nested context"))
    return found


def _complete(part: Schema, whole: Schema | None, path: str, place: str) -> Causes:
    """What `allOf` and its like speak of is there outside of them; `place` is that of the part."""
    if whole is None:
        return [fields.required(path, f"because it is defined in {place}")]
    found: Causes = []
    inner = [(word, index, one) for word in _LOGICAL for index, one in enumerate(part.get(word) or [])]
    parts = [(f"{place}.{word}[{index}]", one) for word, index, one in inner]
    if isinstance(part.get("not"), Mapping):
        parts.append((f"{place}.not", part["not"]))
    for at, one in parts:
        found += _complete(one, whole, path, at)
        if isinstance(one.get("items"), Mapping):
            items = whole.get("items")
            found += _complete(
                one["items"], items if isinstance(items, Mapping) else None, f"{path}.items", f"{at}.items"
            )
        for name, schema in (one.get("properties") or {}).items():
            below = f"properties[{name}]"
            outer = (whole.get("properties") or {}).get(name)
            found += _complete(schema, outer, f"{path}.{below}", f"{at}.{below}")
    return found


def _defaults(path: str, schema: Schema) -> Iterator[Any]:
    """Defaults that are not valid themselves."""
    if schema.get("default") is not None:
        causes: Causes = []
        unknown: list[str] = []
        pruning.prune(schema, schema["default"], unknown)
        if unknown:
            yield fields.invalid(f"{path}.default", schema["default"], "must not have unknown fields")
        validating.compiled(schema)(schema["default"], "", causes, validating.NEW)
        for cause in (validating.settled(cause, "") for cause in causes):
            place = f"{path}.default" + (f".{cause.field}" if cause.field else "")
            yield type(cause)(cause.reason, cause.message, place)
    for name, inner in _below(schema):
        if not name.startswith(("not", *_LOGICAL)):
            yield from _defaults(f"{path}.{name}", inner)
