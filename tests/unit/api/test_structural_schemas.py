"""Schemas of custom resources: what may be said in them and where, one row a rule; and where definitions are wrong."""

from __future__ import annotations

from typing import Any

import pytest
from test_validation import sentences

from api.defaults import apply_defaults
from api.validation.structural_schemas import problems

pytestmark = pytest.mark.unit

TEXT = {"type": "string"}
NUMBER_OR_TEXT = [{"type": "integer"}, {"type": "string"}]
KEYED = {"type": "object", "required": ["k"], "properties": {"k": TEXT}}
LIST, KEYS, MAP = "x-kubernetes-list-type", "x-kubernetes-list-map-keys", "x-kubernetes-map-type"
PRESERVE, EMBEDDED, EITHER = (
    "x-kubernetes-preserve-unknown-fields", "x-kubernetes-embedded-resource", "x-kubernetes-int-or-string",
)  # fmt: skip


def array(items: Any, **words: Any) -> dict[str, Any]:
    return {"type": "array", "items": items} | words


# What stands at `a` of an object.
FIELDS: list[tuple[Any, list[str]]] = [
    (TEXT, []),
    ({"type": "text"},
     ['.type: Unsupported value: "text": supported values: "array", "boolean", "integer", "number", "object", '
      '"string"']),
    ({}, [".type: Required value: must not be empty for specified object fields"]),
    ({"type": "array"}, [".items: Required value: must be specified"]),
    (array({}), [".items.type: Required value: must not be empty for specified array items"]),
    ({EITHER: True, "anyOf": NUMBER_OR_TEXT}, []),
    ({EITHER: True, "allOf": [{"anyOf": NUMBER_OR_TEXT}, {"pattern": "^x"}]}, []),
    ({EITHER: True, PRESERVE: True},
     [f".{PRESERVE}: Invalid value: true: must be false if x-kubernetes-int-or-string is true"]),
    (TEXT | {"anyOf": [{"type": "string"}]}, [".anyOf[0].type: Forbidden: must be empty to be structural"]),
    (TEXT | {"not": {"default": "x", "nullable": True}},
     [".not.default: Forbidden: must be undefined to be structural",
      ".not.nullable: Forbidden: must be false to be structural"]),
    ({"type": "object", "properties": {"b": TEXT}, "anyOf": [{"required": ["b"], "properties": {"b": {}}}]}, []),
    ({"type": "object", "properties": {"metadata": {"type": "object"}}, "not": {"properties": {"metadata": {}}}},
     [".not.properties[metadata]: Forbidden: must not be specified in a nested context"]),
    (TEXT | {PRESERVE: False}, [f".{PRESERVE}: Invalid value: false: must be true or undefined"]),
    (TEXT | {"uniqueItems": True},
     [".uniqueItems: Forbidden: uniqueItems cannot be set to true since the runtime complexity becomes quadratic"]),
    (TEXT | {"$ref": "#/x"}, [".$ref: Forbidden: $ref is not supported"]),
    ({"type": "object", "properties": {"b": TEXT}, "additionalProperties": TEXT},
     [".additionalProperties: Forbidden: additionalProperties and properties are mutual exclusive"]),
    (TEXT | {"pattern": "("},
     ['.pattern: Invalid value: "(": must be a valid regular expression, but isn\'t: error parsing regexp: '
      "missing ): ("]),
    ({"type": "object", EMBEDDED: True},
     [".properties: Required value: must not be empty if x-kubernetes-embedded-resource is true without "
      "x-kubernetes-preserve-unknown-fields"]),
    ({"type": "object", EMBEDDED: True, PRESERVE: True}, []),
    ({EMBEDDED: True, PRESERVE: True},
     [".type: Required value: must be object if x-kubernetes-embedded-resource is true"]),
    ({"type": "object", EMBEDDED: True, "properties": {"kind": {"type": "integer"}}},
     [".properties[kind].type: Invalid value: \"integer\": must be string"]),
    (array(TEXT, **{LIST: "set"}), []),
    (TEXT | {LIST: "set"},
     [".type: Invalid value: \"string\": must be array if x-kubernetes-list-type is specified"]),
    (array(TEXT, **{LIST: "bag"}), [f'.{LIST}: Unsupported value: "bag": supported values: "atomic", "set", "map"']),
    (array(array(TEXT, **{LIST: "set"}), **{LIST: "set"}),
     [f'.items.{LIST}: Invalid value: "set": must be atomic as item of a list with x-kubernetes-list-type=set']),
    (array(KEYED, **{LIST: "set"}),
     [f'.items.{MAP}: Invalid value: "null": must be atomic as item of a list with x-kubernetes-list-type=set']),
    (array(KEYED, **{LIST: "map", KEYS: ["k"]}), []),
    (array(KEYED, **{LIST: "map"}), [f".{KEYS}: Required value: must not be empty if x-kubernetes-list-type is map"]),
    (array(KEYED, **{KEYS: ["k"]}),
     [f".{LIST}: Required value: must be map if x-kubernetes-list-map-keys is non-empty"]),
    (array(KEYED, **{LIST: "map", KEYS: ["k", "k", "x"]}),
     [f'.{KEYS}: Invalid value: ["k","k","x"]: must not contain duplicate entries',
      f'.{KEYS}: Invalid value: ["k","k","x"]: entries must all be names of item properties']),
    (array(KEYED | {"required": [], "nullable": True}, **{LIST: "map", KEYS: ["k"]}),
     [".items.properties[k].default: Required value: this property is in x-kubernetes-list-map-keys, so it must have "
      "a default or be a required property",
      ".items.nullable: Forbidden: cannot be nullable when x-kubernetes-list-type is map"]),
    (array(TEXT, **{LIST: "map", KEYS: ["k"]}),
     [".items.type: Invalid value: \"string\": must be object if parent array's x-kubernetes-list-type is map"]),
    ({"type": "object", "properties": {}, MAP: "loose"},
     [f'.{MAP}: Unsupported value: "loose": supported values: "atomic", "granular"']),
    (TEXT | {"default": 1}, ['.default: Invalid value: "integer": a in body must be of type string: "integer"']),
    (KEYED | {"default": {"k": "x", "other": 1}},
     ['.default: Invalid value: {"k":"x","other":1}: must not have unknown fields']),
]  # fmt: skip


@pytest.mark.parametrize(("schema", "wanted"), FIELDS, ids=lambda value: str(value)[:60])
def test_the_schema_of_a_field(schema: Any, wanted: list[str]) -> None:
    found = problems("s", {"type": "object", "properties": {"a": schema}})
    if wanted and "a in body" in wanted[0]:
        assert [cause.field for cause in found] == ["s.properties[a].default"]
    else:
        assert [f"{cause.field}: {cause.message}" for cause in found] == [f"s.properties[a]{one}" for one in wanted]


ROOTS: list[tuple[Any, list[str]]] = [
    ({"type": "object", "allOf": [{"properties": {"b": {"pattern": "x"}}}]},
     ["s.properties[b]: Required value: because it is defined in s.allOf[0].properties[b]"]),
    ({"type": "object", "properties": {"b": array(TEXT)}, "not": {"properties": {"b": {"items": {"pattern": "x"}}}}},
     []),
    ({"type": "string"}, ['s.type: Invalid value: "string": must be object at the root']),
    ({}, ["s.type: Required value: must not be empty at the root"]),
    ({"type": "object", "additionalProperties": TEXT},
     ["s.additionalProperties: Forbidden: must not be used at the root"]),
    ({"type": "object", "properties": {"metadata": {"type": "object", "properties": {"name": TEXT}}}}, []),
    ({"type": "object", "properties": {"metadata": {"type": "object", "properties": {"labels": {"type": "object"}}}}},
     ["s.properties[metadata]: Forbidden: must not specify anything other than name and generateName, but metadata is "
      "implicitly specified"]),
    ({"type": "object", "properties": {"apiVersion": TEXT | {"default": "v1"}}},
     ["s.properties[apiVersion].default: Forbidden: must not be set in top-level apiVersion"]),
]  # fmt: skip


@pytest.mark.parametrize(("schema", "wanted"), ROOTS, ids=lambda value: str(value)[:60])
def test_the_schema_of_an_object(schema: Any, wanted: list[str]) -> None:
    assert [f"{cause.field}: {cause.message}" for cause in problems("s", schema)] == wanted


def definition(*versions: dict[str, Any], **spec: Any) -> dict[str, Any]:
    named = [{"name": f"v{number}", "served": True, "storage": number == 1} for number in range(1, len(versions) + 1)]
    names = {"plural": "as", "singular": "a", "kind": "A", "listKind": "AList"}
    obj: dict[str, Any] = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "as.example.com"},
        "spec": {
            "group": "example.com",
            "scope": "Cluster",
            "names": names,
            "versions": [one | {"schema": {"openAPIV3Schema": other}} for one, other in zip(named, versions)],
        }
        | spec,
    }
    apply_defaults(obj)
    return obj


BAD, WORSE = ({"type": "object", "properties": {name: {}}} for name in "ab")
SCHEMA = "openAPIV3Schema.properties"


def test_what_all_versions_say_alike_is_the_definitions_own() -> None:
    told = "Required value: must not be empty for specified object fields"
    assert sentences(definition(BAD)) == [f"spec.validation.{SCHEMA}[a].type: {told}"]
    assert sentences(definition(BAD, BAD)) == [f"spec.validation.{SCHEMA}[a].type: {told}"]
    assert sentences(definition(BAD, WORSE)) == [
        f"spec.versions[0].schema.{SCHEMA}[a].type: {told}",
        f"spec.versions[1].schema.{SCHEMA}[b].type: {told}",
    ]


CLIENT = {"service": {"name": "s", "namespace": "n"}}
CONVERSIONS: list[tuple[dict[str, Any], list[str]]] = [
    ({"strategy": "Webhook", "webhook": {"clientConfig": CLIENT, "conversionReviewVersions": ["v1"]}}, []),
    ({"strategy": "Webhook"},
     [".webhookClientConfig: Required value: required when strategy is set to Webhook",
      ".conversionReviewVersions: Required value"]),
    ({"strategy": "Webhook", "webhook": {"clientConfig": {}, "conversionReviewVersions": ["v7"]}},
     [".webhookClientConfig: Required value: exactly one of url or service is required",
      '.conversionReviewVersions: Invalid value: ["v7"]: must include at least one of v1, v1beta1']),
    ({"strategy": "None", "webhook": {"clientConfig": CLIENT, "conversionReviewVersions": ["v1"]}},
     [".webhookClientConfig: Forbidden: should not be set when strategy is not set to Webhook",
      ".conversionReviewVersions: Forbidden: should not be set when strategy is not set to Webhook"]),
]  # fmt: skip


@pytest.mark.parametrize(("conversion", "wanted"), CONVERSIONS, ids=lambda value: str(value)[:60])
def test_where_objects_are_converted(conversion: dict[str, Any], wanted: list[str]) -> None:
    found = sentences(definition({"type": "object"}, conversion=conversion))
    assert found == [f"spec.conversion{sentence}" for sentence in wanted]


def test_unknown_fields_are_preserved_where_a_schema_says_so_only() -> None:
    assert sentences(definition({"type": "object"}, preserveUnknownFields=True)) == [
        "spec.preserveUnknownFields: Invalid value: true: cannot set to true, set x-kubernetes-preserve-unknown-fields "
        "to true in spec.versions[*].schema instead"
    ]
