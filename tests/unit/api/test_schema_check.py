"""Decoding by the schema: what is dropped, respelled or refused on the way in."""

from __future__ import annotations

from typing import Any

import pytest

from api.objects import Object, copy
from api.registry import registry
from api.schema.check import check, decode_error, strict_error, unknown_sentences

pytestmark = pytest.mark.unit

POD = "io.k8s.api.core.v1.Pod"
GO = "json: cannot unmarshal {} into Go struct field {} of type {}"


def pod(**spec: Any) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "x"},
        "spec": {"containers": [{"name": "c"}], **spec},
    }


def test_a_good_object_comes_back_itself() -> None:
    obj = pod(nodeName="n", terminationGracePeriodSeconds=30)
    result = check(POD, obj)
    assert result.obj is obj
    assert (result.unknown, result.causes) == ([], [])


def test_unknown_fields_are_dropped_and_named() -> None:
    obj = pod(foo=1)
    obj["spec"]["containers"][0]["imgae"] = "x"
    before = copy(obj)
    result = check(POD, obj)
    assert obj == before
    assert result.obj == pod()
    assert unknown_sentences(result) == [
        'unknown field "spec.containers[0].imgae"',
        'unknown field "spec.foo"',
    ]
    assert strict_error("Pod", "v1", unknown_sentences(result)).message == (
        'Pod in version "v1" cannot be handled as a Pod: strict decoding error:'
        ' unknown field "spec.containers[0].imgae", unknown field "spec.foo"'
    )


SPELLINGS = [
    (POD, "spec", {"activeDeadlineSeconds": 5.0}, {"activeDeadlineSeconds": 5}),
    (POD, "spec", {"nodeSelector": None}, {}),
    (POD, "spec", {"nodeSelector": {"a": None}}, {"nodeSelector": {"a": ""}}),
    (POD, "spec", {"overhead": {"cpu": "0.5", "memory": 1024}}, {"overhead": {"cpu": "500m", "memory": "1024"}}),
    (POD, "metadata", {"deletionTimestamp": "2026-01-01T01:00:00.5+01:00"},
     {"deletionTimestamp": "2026-01-01T00:00:00Z"}),
    (POD, "metadata", {"deletionTimestamp": "0001-01-01T00:00:02.5Z"}, {"deletionTimestamp": "0001-01-01T00:00:02Z"}),
    (
        "io.k8s.api.coordination.v1.Lease", "spec",
        {"renewTime": "2026-01-01T00:00:00Z"}, {"renewTime": "2026-01-01T00:00:00.000000Z"},
    ),
    ("io.k8s.api.apps.v1.ControllerRevision", "data", {"any": [1, None]}, {"any": [1, None]}),
]  # fmt: skip


@pytest.mark.parametrize(("definition", "part", "given", "stored"), SPELLINGS)
def test_values_take_their_canonical_spelling(definition: str, part: str, given: Object, stored: Object) -> None:
    result = check(definition, {part: given})
    assert result.causes == []
    assert result.obj[part] == stored


REFUSED: list[tuple[Object, str, str]] = [
    ({"metadata": {"name": 5}}, "metadata.name", GO.format("number", "ObjectMeta.metadata.name", "string")),
    ({"spec": {"containers": {}}}, "spec.containers",
     GO.format("object", "PodSpec.spec.containers", "[]v1.Container")),
    ({"spec": "x"}, "spec", GO.format("string", "PodSpec.spec", "v1.PodSpec")),
    ({"spec": {"hostNetwork": "yes"}}, "spec.hostNetwork", GO.format("string", "PodSpec.spec.hostNetwork", "bool")),
    ({"spec": {"activeDeadlineSeconds": 1.5}}, "spec.activeDeadlineSeconds",
     GO.format("number 1.5", "PodSpec.spec.activeDeadlineSeconds", "int64")),
    ({"spec": {"priority": 3_000_000_000}}, "spec.priority",
     GO.format("number 3000000000", "PodSpec.spec.priority", "int32")),
    ({"spec": {"containers": [{"ports": [{"containerPort": "80"}]}]}}, "spec.containers[0].ports[0].containerPort",
     GO.format("string", "ContainerPort.spec.containers.ports.containerPort", "int32")),
    ({"spec": {"overhead": {"cpu": "lots"}}}, "spec.overhead.cpu", "quantities must match the regular expression"),
    ({"metadata": {"creationTimestamp": "soon"}}, "metadata.creationTimestamp", 'parsing time "soon" as "2006-01-02'),
    ({"metadata": {"labels": {"a": 1}}}, "metadata.labels.a",
     GO.format("number", "ObjectMeta.metadata.labels", "string")),
]  # fmt: skip


@pytest.mark.parametrize(("obj", "path", "sentence"), REFUSED, ids=[case[1] for case in REFUSED])
def test_wrong_types_are_refused_in_the_originals_words(obj: Object, path: str, sentence: str) -> None:
    cause = check(POD, obj).causes[0]
    assert cause.field == path
    assert cause.message.startswith(sentence)
    assert (
        decode_error("Pod", "v1", [cause]).message == f'Pod in version "v1" cannot be handled as a Pod: {cause.message}'
    )


@pytest.mark.parametrize("body", [[], "x", 5, None, True])
def test_what_is_no_object_is_refused(body: Any) -> None:
    assert check(POD, body).causes


def test_bytes_must_be_base64() -> None:
    result = check("io.k8s.api.core.v1.Secret", {"data": {"good": "AA==", "bad": "A*=="}})
    assert [(cause.field, cause.message) for cause in result.causes] == [
        ("data.bad", "illegal base64 data at input byte 1")
    ]


def test_a_schema_nested_beyond_reason_is_refused() -> None:
    nested: Object = {}
    for _ in range(900):
        nested = {"not": nested}
    versions = [{"schema": {"openAPIV3Schema": nested}}]
    definition = registry().find("apiextensions.k8s.io", "v1", "customresourcedefinitions")
    assert definition is not None
    assert check(definition, {"spec": {"versions": versions}}).causes[0].message == "exceeded max depth"


def test_every_kind_can_be_checked() -> None:
    for entry in registry().entries():
        result = check(entry, {"apiVersion": "v", "kind": "K", "metadata": {}, "nonsense": 1})
        assert result.unknown == ["nonsense"]
