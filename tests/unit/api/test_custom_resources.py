"""Custom resources: structural schemas at work, definitions judged, columns and scale by JSONPath."""

from __future__ import annotations

from typing import Any

import pytest

from api.custom import CustomSchema, definitions, json_path
from api.defaults import apply_defaults
from api.objects import Object, copy
from api.patches.apply import apply_patch
from api.registry import registry
from api.validation import validate
from control.apiserver import printing
from control.apiserver.printing import custom

pytestmark = pytest.mark.unit

NOW = "2026-01-01T00:00:00Z"
SPEC_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["size"],
    "properties": {
        "size": {"type": "integer", "minimum": 1, "maximum": 9},
        "mode": {"type": "string", "enum": ["a", "b"], "default": "a"},
        "name": {"type": "string", "pattern": "^[a-z]+$", "maxLength": 5, "minLength": 2},
        "port": {"x-kubernetes-int-or-string": True},
        "when": {"type": "string", "format": "date-time"},
        "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        "labels": {"type": "object", "additionalProperties": {"type": "string"}, "maxProperties": 2},
        "maybe": {"type": "string", "nullable": True},
        "nested": {"type": "object", "properties": {"level": {"type": "integer", "default": 3}}},
        "parts": {
            "type": "array", "maxItems": 3, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["id"],
            "items": {"type": "object", "required": ["id"], "properties": {
                "id": {"type": "string"}, "on": {"type": "boolean", "default": True},
            }},
        },
        "tags": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
        "either": {"type": "object", "properties": {"x": {"type": "integer"}, "y": {"type": "integer"}},
                   "oneOf": [{"required": ["x"]}, {"required": ["y"]}]},
    },
}  # fmt: skip
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": {"type": "object"},
        "spec": SPEC_SCHEMA,
        "status": {"type": "object", "properties": {"ready": {"type": "integer"}, "pods": {"type": "string"}}},
    },
}  # fmt: skip


def widget(**spec: Any) -> Object:
    return {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "w"}, "spec": spec}


def definition(**version: Any) -> Object:
    crd = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.example.com"},
        "spec": {
            "group": "example.com",
            "scope": "Namespaced",
            "names": {"plural": "widgets", "kind": "Widget", "shortNames": ["wg"], "categories": ["all"]},
            "versions": [
                {
                    "name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": SCHEMA},
                    "subresources": {"status": {}, "scale": {
                        "specReplicasPath": ".spec.size", "statusReplicasPath": ".status.ready",
                        "labelSelectorPath": ".status.pods"}},
                    **version,
                }
            ],
        },
    }  # fmt: skip
    return apply_defaults(copy(crd))


def test_unknown_fields_are_pruned_and_defaults_filled_in() -> None:
    result = CustomSchema(SCHEMA).decode(
        widget(size=1, junk=1, free={"any": {"thing": 1}}, nested={}, parts=[{"id": "a", "junk": 1}])
    )
    assert result.unknown == ["spec.junk", "spec.parts[0].junk"]
    assert result.obj["spec"] == {
        "size": 1, "mode": "a", "free": {"any": {"thing": 1}}, "nested": {"level": 3},
        "parts": [{"id": "a", "on": True}],
    }  # fmt: skip


def test_a_null_makes_room_for_a_default_unless_it_may_be_null() -> None:
    result = CustomSchema(SCHEMA).decode(widget(size=1, mode=None, maybe=None))
    assert result.obj["spec"] == {"size": 1, "mode": "a", "maybe": None}


def test_a_schema_that_preserves_keeps_everything() -> None:
    obj = widget(anything=[1])
    assert CustomSchema(None).decode(obj).obj == obj


BODY = "Invalid value: {}: {} in body {}"
REFUSED: list[tuple[dict[str, Any], str, str]] = [
    ({"size": "x"}, "spec.size", BODY.format('"string"', "spec.size", 'must be of type integer: "string"')),
    ({}, "spec.size", "Required value"),
    ({"size": 0}, "spec.size", BODY.format(0, "spec.size", "should be greater than or equal to 1")),
    ({"size": 10}, "spec.size", BODY.format(10, "spec.size", "should be less than or equal to 9")),
    ({"size": 1, "mode": "z"}, "spec.mode", 'Unsupported value: "z": supported values: "a", "b"'),
    ({"size": 1, "name": "A1"}, "spec.name", BODY.format('"A1"', "spec.name", "should match '^[a-z]+$'")),
    ({"size": 1, "name": "abc\n"}, "spec.name", BODY.format('"abc\\n"', "spec.name", "should match '^[a-z]+$'")),
    ({"size": 1, "name": "abcdef"}, "spec.name", "Too long: may not be more than 5 bytes"),
    ({"size": 1, "name": "a"}, "spec.name", BODY.format('"a"', "spec.name", "should be at least 2 chars long")),
    ({"size": 1, "port": True}, "spec.port",
     BODY.format('"boolean"', "spec.port", 'must be of type integer,string: "boolean"')),
    ({"size": 1, "when": "soon"}, "spec.when",
     BODY.format('"soon"', "spec.when", 'must be of type date-time: "soon"')),
    ({"size": 1, "labels": {"a": "1", "b": "2", "c": "3"}}, "spec.labels", "Too many: 3: must have at most 2 items"),
    ({"size": 1, "parts": [{"id": "a"}, {"id": "a"}]}, "spec.parts[1]", 'Duplicate value: {"id":"a"}'),
    ({"size": 1, "parts": [{}]}, "spec.parts[0].id", "Required value"),
    ({"size": 1, "tags": ["a", "a"]}, "spec.tags[1]", 'Duplicate value: "a"'),
    ({"size": 1, "name": None}, "spec.name", BODY.format('"null"', "spec.name", 'must be of type string: "null"')),
    ({"size": 1, "either": {"x": 1, "y": 1}}, "<nil>",
     'Invalid value: "": "spec.either" must validate one and only one schema (oneOf). Found 2 valid alternatives'),
]  # fmt: skip


@pytest.mark.parametrize(("spec", "path", "sentence"), REFUSED, ids=[f"{c[1]}-{c[2][:30]}" for c in REFUSED])
def test_bad_values_are_refused_in_the_originals_words(spec: dict[str, Any], path: str, sentence: str) -> None:
    causes = CustomSchema(SCHEMA).validate(widget(**spec))
    assert causes[0].field == path
    assert causes[0].message.startswith(sentence)


COMBINED = [
    ({"anyOf": [{"type": "integer"}, {"type": "string"}]}, True,
     ['<nil>: Invalid value: "": "spec.a" must validate at least one schema (anyOf)',
      'spec.a: Invalid value: "boolean": spec.a in body must be of type integer: "boolean"']),
    ({"allOf": [{"minimum": 1}, {"maximum": 2}]}, 3,
     ['<nil>: Invalid value: "": "spec.a" must validate all the schemas (allOf)',
      "spec.a: Invalid value: 3: spec.a in body should be less than or equal to 2"]),
    ({"allOf": [{"minimum": 5}]}, 3,
     ['<nil>: Invalid value: "": "spec.a" must validate all the schemas (allOf). None validated',
      "spec.a: Invalid value: 3: spec.a in body should be greater than or equal to 5"]),
    ({"not": {"enum": [3]}}, 3, ['<nil>: Invalid value: "": "spec.a" must not validate the schema (not)']),
    ({"type": "string", "enum": ["x"]}, 3,
     ['spec.a: Invalid value: "integer": spec.a in body must be of type string: "integer"',
      'spec.a: Unsupported value: 3: supported values: "x"']),
]  # fmt: skip


@pytest.mark.parametrize(("schema", "value", "wanted"), COMBINED, ids=lambda value: str(value)[:40])
def test_combinations_are_told_with_what_misses_them_least(schema: Any, value: Any, wanted: list[str]) -> None:
    spec = {"type": "object", "properties": {"a": schema}}
    judge = CustomSchema({"type": "object", "properties": {"spec": spec}})
    found = judge.validate({"metadata": {}, "spec": {"a": value}})
    assert [f"{cause.field}: {cause.message}" for cause in found] == wanted
    assert judge.validate({"metadata": {}, "spec": {"a": value}}, {"metadata": {}, "spec": {"a": value}}) == []


def test_an_update_is_forgiven_what_it_leaves_alone() -> None:
    old = widget(size=99)
    assert CustomSchema(SCHEMA).validate(widget(size=99, mode="b"), old) == []
    assert CustomSchema(SCHEMA).validate(widget(size=98), old)


def holding(items: Any, **more: Any) -> Any:
    return {"type": "array", "items": items} | more


NUMBERED = {"type": "object", "properties": {"id": {"type": "string"}, "n": {"type": "integer", "maximum": 5}}}
BY_ID = {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["id"]}
SHORT = {"type": "string", "maxLength": 1}
UPDATES: list[tuple[str, Any, Any, Any, list[str]]] = [
    ("an item found by its key", holding(NUMBERED, **BY_ID), [{"id": "x", "n": 9}],
     [{"id": "y", "n": 8}, {"id": "x", "n": 9}], ["spec.a[0].n"]),
    ("items of a set", holding(SHORT, **{"x-kubernetes-list-type": "set"}), ["xx", "y"], ["xx", "z"], ["spec.a[0]"]),
    ("items of a list", holding(SHORT), ["xx", "y"], ["xx", "z"], ["spec.a[0]"]),
    ("a list as it was", holding(SHORT), ["xx", "y"], ["xx", "y"], []),
    ("a key with a dot", {"type": "object", "additionalProperties": SHORT}, {"a.b": "xx"}, {"a.b": "xy"},
     ["spec.a.a.b"]),
    ("a key as it was", {"type": "object", "additionalProperties": SHORT}, {"a.b": "xx"}, {"a.b": "xx", "c": ""}, []),
    ("a field that was never there", NUMBERED | {"required": ["id"]}, {"n": 1}, {"n": 2}, ["spec.a.id"]),
    ("a part of an alternative", {"type": "object", "anyOf": [{"properties": {"n": {"maximum": 5}}}]}, {"n": 9},
     {"n": 9, "m": 1}, []),
]  # fmt: skip


@pytest.mark.parametrize(("name", "schema", "old", "new", "refused"), UPDATES, ids=[case[0] for case in UPDATES])
def test_an_update_is_forgiven_only_what_it_was_found_with(
    name: str, schema: Any, old: Any, new: Any, refused: list[str]
) -> None:
    judge = CustomSchema({"type": "object", "properties": {"spec": {"type": "object", "properties": {"a": schema}}}})
    found = judge.validate({"metadata": {}, "spec": {"a": new}}, {"metadata": {}, "spec": {"a": old}})
    assert [cause.field for cause in found] == refused


def test_server_side_apply_follows_the_schemas_lists() -> None:
    first = apply_patch(None, widget(size=1, parts=[{"id": "a"}]), "me", False, SCHEMA, NOW).obj
    second = apply_patch(first, widget(size=1, parts=[{"id": "b"}]), "you", False, SCHEMA, NOW).obj
    assert sorted(part["id"] for part in second["spec"]["parts"]) == ["a", "b"]


def test_a_definition_becomes_entries_with_its_subresources() -> None:
    (entry,) = definitions.entries(definition())
    assert entry.resource.path("ns", "w") == "/apis/example.com/v1/namespaces/ns/widgets/w"
    assert (entry.short_names, entry.categories, entry.singular) == (("wg",), ("all",), "widget")
    assert set(entry.subresources) == {"status", "scale"}


def test_versions_are_preferred_as_in_the_original() -> None:
    crd = definition()
    names = ["v1alpha1", "foo", "v1beta1", "v10", "v2", "v1beta2", "v1"]
    crd["spec"]["versions"] = [{"name": name, "served": True} for name in names]
    order = [entry.resource.version for entry in definitions.entries(crd)]
    assert order == ["v10", "v2", "v1", "v1beta2", "v1beta1", "v1alpha1", "foo"]


def test_a_definition_is_established_unless_its_names_are_taken() -> None:
    crd = definition()
    status = definitions.status(crd, [crd], NOW)
    assert status["acceptedNames"]["plural"] == "widgets"
    assert [(one["type"], one["status"]) for one in status["conditions"]] == [
        ("NamesAccepted", "True"),
        ("Established", "True"),
    ]
    assert status["storedVersions"] == ["v1"]
    other = definition() | {"status": status}
    rival = definition()
    rival["metadata"]["name"] = "others.example.com"
    refused = definitions.status(rival, [other], NOW)
    assert refused["conditions"][0]["reason"] == "PluralConflict"
    assert refused["conditions"][1]["message"] == "not all names are accepted"


def test_scale_reads_and_writes_where_the_definition_says() -> None:
    crd, obj = definition(), widget(size=3) | {"status": {"ready": 2, "pods": "app=w"}}
    scale = definitions.scale_of(crd, "v1", obj)
    assert (scale["spec"], scale["status"]) == ({"replicas": 3}, {"replicas": 2, "selector": "app=w"})
    assert definitions.with_replicas(crd, "v1", obj, 5)["spec"]["size"] == 5


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (".spec.size", [3]),
        (".missing.x", []),
        ("{.metadata.name}", ["w"]),
        (".items[0].n", [1]),
        (".items[*].n", [1, 2]),
        ('.items[?(@.t=="b")].n', [2]),
        (".items[?(@.n>1)].t", ["b"]),
        (".metadata.labels['a.b/c']", ["v"]),
        (r".metadata.labels.a\.b/c", ["v"]),
    ],
)
def test_json_paths_find_values(path: str, expected: list[Any]) -> None:
    obj = {
        "spec": {"size": 3}, "metadata": {"name": "w", "labels": {"a.b/c": "v"}},
        "items": [{"t": "a", "n": 1}, {"t": "b", "n": 2}],
    }  # fmt: skip
    assert json_path.find(path, obj) == expected


def test_columns_of_custom_resources_follow_the_definition() -> None:
    columns = [
        {"name": "Size", "type": "integer", "jsonPath": ".spec.size"},
        {"name": "Mode", "type": "string", "jsonPath": ".spec.mode", "priority": 1, "description": "d"},
        {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
    ]
    (entry,) = definitions.entries(definition())
    obj = widget(size=3)
    obj["metadata"]["creationTimestamp"] = "2026-01-01T00:00:00Z"
    table = printing.table(entry, [obj], {}, "None", 1767225600.0 + 60, printer=custom.printer(columns))
    assert [(c["name"], c["type"], c["priority"]) for c in table["columnDefinitions"]] == [
        ("Name", "string", 0), ("Size", "integer", 0), ("Mode", "string", 1), ("Age", "date", 0),
    ]  # fmt: skip
    assert table["rows"][0]["cells"] == ["w", 3, None, "60s"]
    assert custom.printer(None).row(obj, 1767225600.0 + 60) == ["w", "60s"]


JUDGED: list[tuple[dict[str, Any], str]] = [
    ({"schema": None}, "spec.versions[0].schema.openAPIV3Schema: Required value: schemas are required"),
    ({"schema": {"openAPIV3Schema": {"type": "string"}}}, 'type: Invalid value: "string": must be object at'),
    ({"storage": False}, "must have exactly one version marked as storage version"),
    ({"schema": {"openAPIV3Schema": {"type": "object", "properties": {"a": {}}}}},
     "properties[a].type: Required value: must not be empty for specified object fields"),
    ({"schema": {"openAPIV3Schema": {"type": "object", "properties": {"a": {"type": "array"}}}}},
     "properties[a].items: Required value: must be specified"),
    ({"schema": {"openAPIV3Schema": {"type": "object", "properties": {"a": {"type": "integer", "default": "x"}}}}},
     "must be of type integer"),
    ({"schema": {"openAPIV3Schema": {"type": "object", "$ref": "#/x"}}}, "Forbidden: $ref is not supported"),
    ({"additionalPrinterColumns": [{"name": "x", "type": "magic", "jsonPath": ".x"}]}, 'Unsupported value: "magic"'),
    ({"subresources": {"scale": {"specReplicasPath": ".x", "statusReplicasPath": ".status.r"}}},
     "should be a json path under .spec"),
]  # fmt: skip


@pytest.mark.parametrize(("version", "sentence"), JUDGED, ids=[case[1][:50] for case in JUDGED])
def test_bad_definitions_are_refused(version: dict[str, Any], sentence: str) -> None:
    entry = registry().find("apiextensions.k8s.io", "v1", "customresourcedefinitions")
    assert entry is not None
    assert validate(entry, definition()) == []
    found = [f"{cause.field}: {cause.message}" for cause in validate(entry, definition(**version))]
    assert any(sentence in one for one in found), found
