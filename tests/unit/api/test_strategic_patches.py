"""Strategic merge patch: how lists merge, and what each directive does."""

from __future__ import annotations

from typing import Any

import pytest

from api.errors import BadRequest
from api.objects import copy
from api.patches import strategic

pytestmark = pytest.mark.unit

POD = "io.k8s.api.core.v1.Pod"
DEPLOYMENT = "io.k8s.api.apps.v1.Deployment"


def spec(**fields: Any) -> dict[str, Any]:
    return {"spec": fields}


A, B, C = ({"name": name, "image": f"{name}:1"} for name in "abc")
A2 = {"name": "a", "image": "a:2"}

CASES: list[tuple[str, str, dict[str, Any], dict[str, Any], dict[str, Any]]] = [
    ("list items merge by name", POD, spec(containers=[A, B]), spec(containers=[{"name": "b", "image": "b:2"}]),
     spec(containers=[A, {"name": "b", "image": "b:2"}])),
    ("a new item is appended", POD, spec(containers=[A]), spec(containers=[B]), spec(containers=[A, B])),
    ("$patch: delete removes an item", POD, spec(containers=[A, B]),
     spec(containers=[{"name": "a", "$patch": "delete"}]),
     spec(containers=[B])),
    ("$patch: replace replaces a list", POD, spec(containers=[A, B]), spec(containers=[C, {"$patch": "replace"}]),
     spec(containers=[C])),
    ("$patch: replace replaces a map", POD, spec(nodeSelector={"a": "1"}),
     spec(nodeSelector={"b": "2", "$patch": "replace"}), spec(nodeSelector={"b": "2"})),
    ("$patch: delete empties an object", POD, spec(securityContext={"runAsUser": 1}),
     spec(securityContext={"$patch": "delete"}), spec(securityContext={})),
    ("$patch: delete removes a map", POD, spec(nodeSelector={"a": "1"}),
     spec(nodeSelector={"$patch": "delete"}), spec()),
    ("null removes a field", POD, spec(nodeName="n", hostname="h"), spec(hostname=None), spec(nodeName="n")),
    ("atomic lists are replaced", POD, spec(containers=[{"name": "a", "args": ["x", "y"]}]),
     spec(containers=[{"name": "a", "args": ["z"]}]), spec(containers=[{"name": "a", "args": ["z"]}])),
    ("ports merge by containerPort", POD, spec(containers=[{"name": "a", "ports": [{"containerPort": 80}]}]),
     spec(containers=[{"name": "a", "ports": [{"containerPort": 80, "name": "web"}]}]),
     spec(containers=[{"name": "a", "ports": [{"containerPort": 80, "name": "web"}]}])),
    ("finalizers are a set", POD, {"metadata": {"finalizers": ["a", "b"]}},
     {"metadata": {"finalizers": ["c"], "$deleteFromPrimitiveList/finalizers": ["a"]}},
     {"metadata": {"finalizers": ["b", "c"]}}),
    ("labels merge", POD, {"metadata": {"labels": {"a": "1", "b": "2"}}},
     {"metadata": {"labels": {"a": None, "c": "3"}}},
     {"metadata": {"labels": {"b": "2", "c": "3"}}}),
    ("$setElementOrder sorts", POD, spec(containers=[A, B]),
     {"spec": {"containers": [C], "$setElementOrder/containers": [{"name": "c"}, {"name": "b"}, {"name": "a"}]}},
     spec(containers=[C, B, A])),
    ("$setElementOrder alone sorts", POD, spec(containers=[A, B]),
     {"spec": {"$setElementOrder/containers": [{"name": "b"}, {"name": "a"}]}}, spec(containers=[B, A])),
    ("items that the order leaves out keep their neighbour", POD, spec(containers=[A, B, C]),
     {"spec": {"containers": [A2], "$setElementOrder/containers": [{"name": "a"}, {"name": "c"}]}},
     spec(containers=[{"name": "a", "image": "a:2"}, B, C])),
    ("a new item comes before those that the order leaves out and that came behind its neighbour", POD,
     spec(containers=[A, C]),
     {"spec": {"containers": [B], "$setElementOrder/containers": [{"name": "a"}, {"name": "b"}]}},
     spec(containers=[A, B, C])),
    ("items that the order leaves out come before what they came before", POD, spec(containers=[C, A, B]),
     {"spec": {"$setElementOrder/containers": [{"name": "b"}, {"name": "a"}]}}, spec(containers=[C, B, A])),
    ("a new item takes the place of a deleted one in what was there before", POD, spec(containers=[A, B, C]),
     {"spec": {"containers": [A | {"name": "d"}, {"name": "a", "$patch": "delete"}],
               "$setElementOrder/containers": [{"name": "b"}, {"name": "d"}]}},
     spec(containers=[B, C, A | {"name": "d"}])),
    ("repeated items of a set stay together", POD, {"metadata": {"finalizers": ["a", "b", "a", "c"]}},
     {"metadata": {"$setElementOrder/finalizers": ["c", "a", "b", "a"]}},
     {"metadata": {"finalizers": ["c", "a", "a", "b"]}}),
    ("$retainKeys drops the others", DEPLOYMENT,
     spec(strategy={"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}),
     spec(strategy={"type": "Recreate", "$retainKeys": ["type"]}), spec(strategy={"type": "Recreate"})),
    ("volumes merge by name and retain keys", POD, spec(volumes=[{"name": "v", "emptyDir": {}}]),
     spec(volumes=[{"name": "v", "hostPath": {"path": "/x"}, "$retainKeys": ["name", "hostPath"]}]),
     spec(volumes=[{"name": "v", "hostPath": {"path": "/x"}}])),
    ("conditions merge by type", POD, {"status": {"conditions": [{"type": "Ready", "status": "False"}]}},
     {"status": {"conditions": [{"type": "Ready", "status": "True"}, {"type": "New", "status": "True"}]}},
     {"status": {"conditions": [{"type": "Ready", "status": "True"}, {"type": "New", "status": "True"}]}}),
    ("owner references merge by uid", POD, {"metadata": {"ownerReferences": [{"uid": "1"}, {"uid": "2"}]}},
     {"metadata": {"ownerReferences": [{"uid": "1", "$patch": "delete"}]}},
     {"metadata": {"ownerReferences": [{"uid": "2"}]}}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("definition", "original", "patch", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_patches_are_applied(
    definition: str, original: dict[str, Any], patch: dict[str, Any], expected: dict[str, Any]
) -> None:
    before = copy(original)
    assert strategic.apply(original, patch, definition) == expected
    assert original == before


@pytest.mark.parametrize(
    "patch",
    [
        [],
        spec(containers=[{"image": "x"}]),
        spec(containers=["x"]),
        spec(containers=[{"name": "a", "$patch": "explode"}]),
        {"metadata": {"finalizers": [{}]}},
        {"metadata": {"$deleteFromPrimitiveList/finalizers": "a"}},
        {"spec": {"containers": [B, A], "$setElementOrder/containers": [{"name": "a"}, {"name": "b"}]}},
    ],
)
def test_malformed_patches_are_refused(patch: Any) -> None:
    with pytest.raises(BadRequest):
        strategic.apply(spec(containers=[A]), patch, POD)


@pytest.mark.parametrize(
    ("item", "sentence"),
    [
        ({"image": "x", "ports": [{"hostPort": 1}], "tty": True},
         "map: map[image:x ports:[map[hostPort:1]] tty:true] does not contain declared merge key: name"),
        ({"name": "a", "$patch": "explode"}, "unknown patch type: explode in map: map[$patch:explode name:a]"),
    ],
)  # fmt: skip
def test_what_no_list_can_be_merged_with_is_refused_in_the_words_of_the_original(item: Any, sentence: str) -> None:
    with pytest.raises(BadRequest) as failed:
        strategic.apply(spec(containers=[A]), spec(containers=[item]), POD)
    assert failed.value.message == sentence
