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
    ("steps", {"rule": "self.many.all(a, self.many.all(b, a == b))"}, {"many": [1] * 2000},
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
    "many": {"type": "array", "items": {"type": "integer"}},
    "any": {"x-kubernetes-preserve-unknown-fields": True},
    "my-flag": {"type": "boolean"},
    "at": {"type": "string", "format": "date-time"},
}


@pytest.mark.parametrize(("name", "rule", "spec", "sentence"), CASES, ids=[case[0] for case in CASES])
def test_a_rule_refuses_in_the_originals_words(cluster, name, rule, spec, sentence):
    serve(cluster, ruled(rule, **EXTRA))
    status, refused, _ = cluster.request("POST", WIDGETS, widget(**spec))
    assert (status, refused["message"]) == (422, f'Widget.example.com "w" is invalid: {sentence}')


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
    assert cause["field"] == (
        "spec.versions[0].schema.openAPIV3Schema.properties[spec].x-kubernetes-validations[0].rule"
    )
    assert sentence in cause["message"]
