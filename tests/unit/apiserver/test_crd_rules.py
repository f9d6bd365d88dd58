"""Rules of custom resources in the Common Expression Language: what they refuse, and which rules are refused."""

from __future__ import annotations

from typing import Any

import pytest
from crd_objects import CRDS, SPEC, WIDGETS, schema, serve, version, widget, widgets

pytestmark = pytest.mark.unit


def ruled(*rules: dict[str, Any], **properties: Any) -> Any:
    spec = SPEC | {"x-kubernetes-validations": list(rules), "properties": SPEC["properties"] | properties}
    return widgets(version(schema=schema(spec=spec)))


CASES: list[tuple[str, dict[str, Any], dict[str, Any], str]] = [
    ("message", {"rule": "self.size < 5", "message": "too big"}, {"size": 6},
     'spec: Invalid value: "object": too big'),
    ("no message", {"rule": "self.size < 5"}, {"size": 6},
     'spec: Invalid value: "object": failed rule: self.size < 5'),
    ("message expression", {"rule": "self.size < 5", "messageExpression": "'size ' + string(self.size)"}, {"size": 6},
     'spec: Invalid value: "object": size 6'),
    ("field path and reason", {"rule": "self.size < 5", "message": "no", "fieldPath": ".size",
                               "reason": "FieldValueForbidden"}, {"size": 6}, "spec.size: Forbidden: no"),
    ("missing field", {"rule": "self.color == 'red'"}, {},
     "spec: Invalid value: \"object\": no such key: color evaluating rule: self.color == 'red'"),
    ("steps", {"rule": "self.many.all(a, self.many.all(b, a == b))"}, {"many": [1] * 725},
     "spec: Invalid value: \"object\": 'operation cancelled: actual cost limit exceeded': no further validation rules "
     "will be run due to call cost exceeds limit for rule: self.many.all(a, self.many.all(b, a == b))"),
    ("wrong types", {"rule": "self.any.size() > 1 && self.any < 3", "message": "small"}, {"any": "xxx"},
     "spec: Invalid value: \"object\": 'no such overload': call arguments did not match a supported operator, function "
     "or macro signature for rule: small"),
    ("escaped name", {"rule": "self.my__dash__flag", "message": "flag it"}, {"my-flag": False},
     'spec: Invalid value: "object": flag it'),
    ("moment", {"rule": "self.at < timestamp('2020-01-01T00:00:00Z')", "message": "late"},
     {"at": "2021-01-01T00:00:00Z"}, 'spec: Invalid value: "object": late'),
]  # fmt: skip
EXTRA = {
    "many": {"type": "array", "maxItems": 725, "items": {"type": "integer"}},
    "any": {"x-kubernetes-preserve-unknown-fields": True},
    "my-flag": {"type": "boolean"},
    "at": {"type": "string", "format": "date-time"},
}


@pytest.mark.parametrize(("name", "rule", "spec", "sentence"), CASES, ids=[case[0] for case in CASES])
def test_a_rule_refuses_in_the_originals_words(cluster, name, rule, spec, sentence):
    serve(cluster, ruled(rule, **EXTRA))
    status, refused, _ = cluster.request("POST", WIDGETS, widget(**spec))
    assert (status, refused["message"]) == (422, f'Widget.example.com "w" is invalid: {sentence}')


def test_a_rule_of_a_maps_values_names_their_key(cluster):
    text = {"type": "string", "x-kubernetes-validations": [{"rule": "self != ''"}]}
    named = {"type": "object", "additionalProperties": {"type": "object", "properties": {"text": text}}}
    serve(cluster, ruled({"rule": "true"}, named=named))
    status, refused, _ = cluster.request("POST", WIDGETS, widget(named={"a.b": {"text": ""}}))
    assert (status, refused["details"]["causes"][0]["field"]) == (422, "spec.named[a.b].text")


def test_transition_rules_compare_with_what_was_there(cluster):
    serve(cluster, ruled({"rule": "self.size >= oldSelf.size", "message": "may not shrink"}))
    made = cluster.request("POST", WIDGETS, widget(size=5))[1]
    made["spec"]["size"] = 4
    status, refused, _ = cluster.request("PUT", f"{WIDGETS}/w", made)
    assert (status, "may not shrink" in refused["message"]) == (422, True)
    made["spec"]["size"] = 6
    assert cluster.request("PUT", f"{WIDGETS}/w", made)[0] == 200


def test_an_optional_old_value_is_seen_at_creation_too(cluster):
    rule = {"rule": "oldSelf.hasValue() || self.size == 1", "optionalOldSelf": True, "message": "begin with one"}
    serve(cluster, ruled(rule))
    assert cluster.request("POST", WIDGETS, widget(size=2))[0] == 422
    made = cluster.request("POST", WIDGETS, widget(size=1))[1]
    made["spec"]["size"] = 2
    assert cluster.request("PUT", f"{WIDGETS}/w", made)[0] == 200


BAD_RULES = [
    ("self.z == 1", "undefined field 'z'"),
    ("self.size ==", "Syntax error: "),
    ("self.size > 'a'", "found no matching overload for '_>_' applied to '(int, string)'"),
    ("self.size + 1", "cel expression must evaluate to a bool"),
]


@pytest.mark.parametrize(("rule", "sentence"), BAD_RULES)
def test_a_rule_that_cannot_be_is_refused_with_its_definition(cluster, rule, sentence):
    status, refused, _ = cluster.request("POST", CRDS, ruled({"rule": rule}))
    assert status == 422
    (cause,) = refused["details"]["causes"]
    assert cause["field"] == ("spec.validation.openAPIV3Schema.properties[spec].x-kubernetes-validations[0].rule")
    assert sentence in cause["message"]


TEXT = {"type": "string"}
ADVICE = (
    "(try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, and strings are "
    "declared)"
)


def listing(of: Any, *rules: str, **limits: int) -> dict[str, Any]:
    return {"type": "array", "items": of, "x-kubernetes-validations": [{"rule": rule} for rule in rules], **limits}


def items(*rules: str) -> dict[str, Any]:
    named = {"name": TEXT, "kind": TEXT | {"maxLength": 63}, "mode": TEXT | {"enum": ["a", "bb"]}}
    return {"type": "object", "properties": named, "x-kubernetes-validations": [{"rule": rule} for rule in rules]}


LABEL, NAME = TEXT | {"maxLength": 63}, TEXT | {"maxLength": 253}
REFERENCE = {
    "type": "object", "required": ["name"],
    "properties": {"group": NAME, "kind": LABEL, "namespace": LABEL, "name": NAME, "sectionName": NAME},
}  # fmt: skip
UNIQUE = (
    "self.all(p1, self.exists_one(p2, p1.group == p2.group && p1.kind == p2.kind && p1.name == p2.name && "
    "(((!has(p1.__namespace__) || p1.__namespace__ == '') && (!has(p2.__namespace__) || p2.__namespace__ == '')) || "
    "(has(p1.__namespace__) && has(p2.__namespace__) && p1.__namespace__ == p2.__namespace__ )) && "
    "(((!has(p1.sectionName) || p1.sectionName == '') && (!has(p2.sectionName) || p2.sectionName == '')) || "
    "(has(p1.sectionName) && has(p2.sectionName) && p1.sectionName == p2.sectionName))))"
)


COSTS: list[tuple[str, dict[str, Any], str]] = [
    ("limited", listing({"type": "integer"}, "self.all(x, self.all(y, x == y))", maxItems=725), ""),
    ("without limit", listing({"type": "integer"}, "self.all(x, self.all(y, x == y))"), "more than 100x"),
    ("inside a list", listing(listing(TEXT, "self.all(s, s == 'string constant')")), "more than 100x"),
    ("texts", listing(items(), "self.all(x, self.exists_one(y, x.name == y.name))", maxItems=16), "8.1x"),
    ("short texts", listing(items(), "self.all(x, self.exists_one(y, x.kind == y.kind))", maxItems=16), ""),
    ("one of a few texts", listing(items(), "self.all(x, self.exists_one(y, x.mode == y.mode))", maxItems=256), ""),
    ("often", listing(items("self.kind == self.name")), "3.1x"),
    ("often and cheap", listing(items("has(self.kind) == has(self.name)")), ""),
    ("pattern", items("self.name.matches('^[a-z]+$')"), ""),
    ("search", items("self.name.contains(self.name)"), "more than 100x"),
    ("bound", items("cel.bind(n, self.kind, n == 'a' || n == self.name)"), ""),
    ("as the Gateway API has it", listing(REFERENCE, UNIQUE, maxItems=32), ""),
    ("keys of a map", {"type": "object", "additionalProperties": TEXT,
                       "x-kubernetes-validations": [{"rule": "self.all(k, k in self && self[k] != '')"}]}, ""),
]  # fmt: skip


@pytest.mark.parametrize(("name", "field", "factor"), COSTS, ids=[case[0] for case in COSTS])
def test_a_rule_that_no_request_could_pay_for_is_refused_with_its_definition(cluster, name, field, factor):
    spec = SPEC | {"properties": SPEC["properties"] | {"more": field}}
    status, refused, _ = cluster.request("POST", CRDS, widgets(version(schema=schema(spec=spec))))
    if not factor:
        assert status == 201, refused
        return
    cause = refused["details"]["causes"][0]
    assert (status, cause["reason"]) == (422, "FieldValueForbidden")
    assert cause["message"] == f"Forbidden: estimated rule cost exceeds budget by factor of {factor} {ADVICE}"
    assert cause["field"].endswith(".x-kubernetes-validations[0].rule")
