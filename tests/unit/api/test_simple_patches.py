"""JSON patch and merge patch: cases of the RFCs, refusals, and laws that hold for every document."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.errors import ApiError, BadRequest, Invalid
from api.patches import json_patch, merge

pytestmark = pytest.mark.unit

JSON_PATCHES: list[tuple[Any, list[dict[str, Any]], Any]] = [
    ({"a": 1}, [{"op": "add", "path": "/b", "value": 2}], {"a": 1, "b": 2}),
    ({"a": [1, 3]}, [{"op": "add", "path": "/a/1", "value": 2}], {"a": [1, 2, 3]}),
    ({"a": [1]}, [{"op": "add", "path": "/a/-", "value": 2}], {"a": [1, 2]}),
    ({"a": {"b/c": 1}}, [{"op": "remove", "path": "/a/b~1c"}], {"a": {}}),
    ({"a": 1}, [{"op": "replace", "path": "/a", "value": None}], {"a": None}),
    ({"a": 1}, [{"op": "move", "from": "/a", "path": "/b"}], {"b": 1}),
    ({"a": {"x": 1}}, [{"op": "copy", "from": "/a", "path": "/b"}], {"a": {"x": 1}, "b": {"x": 1}}),
    ({"a": 1}, [{"op": "test", "path": "/a", "value": 1}], {"a": 1}),
    ({"a": 1}, [{"op": "replace", "path": "", "value": {"z": 1}}], {"z": 1}),
    ({"a": {}}, [{"op": "add", "path": "/a/b"}], {"a": {"b": None}}),
    ({"a": [1, 2, 3]}, [{"op": "remove", "path": "/a/-2"}], {"a": [1, 3]}),
    ({"a": [1, 2]}, [{"op": "replace", "path": "/a/-1", "value": 3}], {"a": [1, 3]}),
    ({"a": [1, 2]}, [{"op": "add", "path": "/a/-1", "value": 3}], {"a": [1, 2, 3]}),
]


@pytest.mark.parametrize(("document", "patch", "expected"), JSON_PATCHES)
def test_json_patch_operations(document: Any, patch: list[dict[str, Any]], expected: Any) -> None:
    assert json_patch.apply(document, patch) == expected


@pytest.mark.parametrize(
    ("patch", "error"),
    [
        ({}, BadRequest),
        ([1], BadRequest),
        ([{"op": "remove", "path": "/missing"}], Invalid),
        ([{"op": "replace", "path": "/missing", "value": 1}], Invalid),
        ([{"op": "add", "path": "/list/9", "value": 1}], Invalid),
        ([{"op": "add", "path": "/list/x", "value": 1}], Invalid),
        ([{"op": "test", "path": "/flag", "value": 1}], Invalid),
        ([{"op": "jump", "path": "/flag"}], Invalid),
        ([{"op": "remove", "path": "/list/-1"}], Invalid),
        ([{"op": "add", "path": "/list/-01", "value": 1}], Invalid),
        ([{"op": "add", "value": 1}], Invalid),
        ([{"op": "remove", "path": ""}], Invalid),
        ([{"op": "test", "path": "/flag", "value": True}] * 10_001, BadRequest),
    ],
)
def test_json_patches_that_do_not_fit_are_refused(patch: Any, error: type[ApiError]) -> None:
    with pytest.raises(error):
        json_patch.apply({"list": [], "flag": True}, patch)


def test_a_failing_operation_leaves_the_document_alone() -> None:
    document = {"a": 1}
    with pytest.raises(Invalid):
        json_patch.apply(document, [{"op": "remove", "path": "/a"}, {"op": "remove", "path": "/a"}])
    assert document == {"a": 1}


@pytest.mark.parametrize(
    ("original", "patch", "expected"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        (["a", "b"], ["c", "d"], ["c", "d"]),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
    ],
)
def test_merge_patch_cases_of_the_rfc(original: Any, patch: Any, expected: Any) -> None:
    assert merge.apply(original, patch) == expected


JSON = st.recursive(
    st.booleans() | st.integers(-5, 5) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", max_size=2), inner, max_size=3),
    max_leaves=12,
)
OBJECTS = st.dictionaries(st.text("abc", max_size=2), JSON, max_size=4)


@given(OBJECTS, OBJECTS)
def test_the_difference_of_two_documents_leads_from_one_to_the_other(original: Any, modified: Any) -> None:
    assert merge.apply(original, merge.diff(original, modified)) == modified


@given(OBJECTS, OBJECTS)
def test_a_merge_patch_applied_twice_is_applied_once(original: Any, patch: Any) -> None:
    once = merge.apply(original, patch)
    assert merge.apply(once, patch) == once
