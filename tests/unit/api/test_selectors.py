"""Label and field selectors: what they match, how they are written, and how bad ones are refused."""

from __future__ import annotations

import pytest

from api.selectors import FieldSelector, LabelSelector

pytestmark = pytest.mark.unit

LABELS = {"app": "web", "tier": "front", "size": "5", "empty": ""}

MATCHES = [
    ("", True), ("app=web", True), ("app==web", True), ("app!=web", False), ("other!=x", True), ("app", True),
    ("!app", False), ("!other", True), ("app in (web,db)", True), ("app notin (web)", False),
    ("other notin (web)", True), ("app=web,tier=back", False), ("size>4", True), ("size<4", False), ("empty=", True),
    ("app in (),tier", False), (" app = web , tier in ( front ) ", True), ("example.com/x notin (a,b)", True),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), MATCHES)
def test_label_selectors_match(text: str, expected: bool) -> None:
    assert LabelSelector.parse(text).matches(LABELS) is expected


REFUSED = [
    ("app in web", "unable to parse requirement: found 'web' expected: '('"),
    ("app=web,", "found '', expected: identifier after ','"),
    ("app in (a b)", "unable to parse requirement: found 'b', expected: ',' or ')'"),
    ("app notin(", "unable to parse requirement: found '', expected: ',', ')' or identifier"),
    ("app in (a,", "unable to parse requirement: found '', expected: ',', or identifier"),
    ("=web", "found '=', expected: !, identifier, or 'end of string'"),
    ("a b", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"),
    ("app=web)", "found ')', expected: ',' or 'end of string'"),
    ("x>a", "for 'Gt', 'Lt' operators, the value must be an integer"),
    ("app=-x", 'values[0][app]: Invalid value: "-x": a valid label must be'),
    ("a/b/c=d", 'key: Invalid value: "a/b/c": a qualified name must consist'),
]


@pytest.mark.parametrize(("text", "sentence"), REFUSED)
def test_bad_label_selectors_are_refused_in_the_originals_words(text: str, sentence: str) -> None:
    with pytest.raises(ValueError) as raised:
        LabelSelector.parse(text)
    assert sentence in str(raised.value)


@pytest.mark.parametrize(
    ("selector", "expected", "text"),
    [
        (None, False, ""),
        ({}, True, ""),
        ({"matchLabels": {"tier": "front", "app": "web"}}, True, "app=web,tier=front"),
        ({"matchExpressions": [{"key": "app", "operator": "In", "values": ["web", "db"]}]}, True, "app in (db,web)"),
        ({"matchExpressions": [{"key": "app", "operator": "DoesNotExist"}]}, False, "!app"),
        ({"matchExpressions": [{"key": "gone", "operator": "NotIn", "values": ["a"]}]}, True, "gone notin (a)"),
    ],
)
def test_selector_objects_match_and_are_written(selector: dict[str, object] | None, expected: bool, text: str) -> None:
    read = LabelSelector.from_json(selector)
    assert read.matches(LABELS) is expected
    assert str(read) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("spec.nodeName=n1", True),
        ("spec.nodeName==n1,status.phase!=Failed", True),
        ("spec.nodeName!=n1", False),
        ("metadata.name=", True),
        (r"spec.odd=a\,b\=c", True),
        ("", True),
    ],
)
def test_field_selectors_match(text: str, expected: bool) -> None:
    fields = {"spec.nodeName": "n1", "status.phase": "Running", "spec.odd": "a,b=c"}
    selector = FieldSelector.parse(text)
    assert selector.matches(lambda field: fields.get(field, "")) is expected
    assert FieldSelector.parse(str(selector)) == selector


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("spec.nodeName", "invalid selector: 'spec.nodeName'; can't understand 'spec.nodeName'"),
        ("x in (a,b,c)", "invalid selector: 'x in (a,b,c)'; can't understand 'b'"),
        ("x==a==b", "invalid field selector: unescaped character in value: 61"),
    ],
)
def test_bad_field_selectors_are_refused_in_the_originals_words(text: str, sentence: str) -> None:
    with pytest.raises(ValueError) as raised:
        FieldSelector.parse(text)
    assert str(raised.value) == sentence


def test_the_terms_of_a_field_selector_are_written_in_order() -> None:
    assert str(FieldSelector.parse("status.phase=Running,metadata.name!=x")) == "metadata.name!=x,status.phase=Running"
