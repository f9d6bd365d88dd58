"""Kubernetes' protobuf encoding: objects survive the way there and back, and broken bytes are refused."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api import protobuf
from api.errors import BadRequest, UnsupportedMediaType
from api.objects import Object
from api.protobuf import wire
from api.protobuf.messages import decode_message, encode_message, fields_of
from api.protobuf.special import CHOICES, READERS, format_duration, parse_duration
from api.registry import registry
from api.schema import data

pytestmark = pytest.mark.unit
EXTENSIONS = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1."

POD: Object = {
    "kind": "Pod",
    "apiVersion": "v1",
    "metadata": {
        "name": "web", "labels": {"app": "web"}, "creationTimestamp": "2026-01-31T12:00:00Z",
        "managedFields": [{"manager": "m", "fieldsType": "FieldsV1", "fieldsV1": {"f:spec": {"f:x": {}}}}],
    },
    "spec": {
        "terminationGracePeriodSeconds": 0,
        "containers": [{
            "name": "c", "image": "web:1",
            "ports": [{"containerPort": 80, "protocol": "TCP"}],
            "resources": {"limits": {"cpu": "500m", "memory": "1Gi"}},
            "livenessProbe": {"httpGet": {"path": "/", "port": "http"}, "periodSeconds": 3},
            "env": [{"name": "A", "value": "b"}],
        }],
        "volumes": [{"name": "v", "configMap": {"name": "cm", "defaultMode": 420}}],
    },
    "status": {"startTime": "2026-01-31T12:00:01Z"},
}  # fmt: skip

OBJECTS: list[Object] = [
    POD,
    {"kind": "Secret", "apiVersion": "v1", "metadata": {"name": "s"}, "data": {"a": "AP8=", "empty": ""}},
    {"kind": "Lease", "apiVersion": "coordination.k8s.io/v1", "metadata": {},
     "spec": {"renewTime": "2026-01-31T12:00:00.000123Z", "leaseTransitions": 0}},
    {"kind": "DeleteOptions", "apiVersion": "policy/v1", "gracePeriodSeconds": 0, "propagationPolicy": "Orphan"},
    {"kind": "Eviction", "apiVersion": "policy/v1", "metadata": {"name": "p"}, "deleteOptions": {"dryRun": ["All"]}},
    {"kind": "TokenRequest", "apiVersion": "authentication.k8s.io/v1", "metadata": {},
     "spec": {"audiences": ["a"], "expirationSeconds": 600}, "status": {"token": "t", "expirationTimestamp": None}},
    {"kind": "SubjectAccessReview", "apiVersion": "authorization.k8s.io/v1", "metadata": {},
     "spec": {"user": "u", "extra": {"k": ["a", "b"]}}, "status": {"allowed": True}},
    {"kind": "ControllerRevision", "apiVersion": "apps/v1", "metadata": {}, "revision": 3,
     "data": {"spec": [1, {"a": None}]}},
    {"kind": "NamespaceList", "apiVersion": "v1", "metadata": {"resourceVersion": "7"},
     "items": [{"metadata": {"name": "a"}, "spec": {}, "status": {"phase": "Active"}}]},
    {"kind": "Service", "apiVersion": "v1", "metadata": {}, "spec": {"ports": [{"port": 80, "targetPort": 8080}]},
     "status": {"loadBalancer": {}}},
]  # fmt: skip


def without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without_nulls(inner) for key, inner in value.items() if inner is not None}
    return [without_nulls(item) for item in value] if isinstance(value, list) else value


def contains(got: Any, wanted: Any) -> bool:
    """Reading may add the empty structs that the original always writes."""
    if isinstance(wanted, dict):
        return isinstance(got, dict) and all(contains(got.get(key), inner) for key, inner in wanted.items())
    if isinstance(wanted, list):
        return len(got) == len(wanted) and all(map(contains, got, wanted))
    return bool(got == wanted) and type(got) is type(wanted)


@pytest.mark.parametrize("obj", OBJECTS, ids=lambda obj: obj["kind"])
def test_objects_survive_the_way_there_and_back(obj: Object) -> None:
    read = protobuf.decode(protobuf.encode(obj))
    assert contains(read, obj if obj["kind"] == "ControllerRevision" else without_nulls(obj))
    assert protobuf.decode(protobuf.encode(read)) == read


def test_zero_values_that_json_leaves_out_are_left_out() -> None:
    name, host_network = wire.bytes_field(1, b""), wire.integer_field(11, 0)
    raw = wire.bytes_field(1, name) + wire.bytes_field(2, host_network)
    meta = wire.bytes_field(1, b"v1") + wire.bytes_field(2, b"Pod")
    body = b"k8s\x00" + wire.bytes_field(1, meta) + wire.bytes_field(2, raw)
    assert protobuf.decode(body) == {"kind": "Pod", "apiVersion": "v1", "metadata": {}, "spec": {}}


def test_json_inside_the_envelope_is_read() -> None:
    meta = wire.bytes_field(1, b"example.com/v1") + wire.bytes_field(2, b"Widget")
    body = wire.bytes_field(1, meta) + wire.bytes_field(2, b'{"spec":{}}') + wire.bytes_field(4, b"application/json")
    assert protobuf.decode(b"k8s\x00" + body)["spec"] == {}


def test_a_kind_without_protobuf_form_is_not_supported() -> None:
    with pytest.raises(UnsupportedMediaType):
        protobuf.encode({"apiVersion": "example.com/v1", "kind": "Widget"})


@given(st.binary(max_size=40))
def test_arbitrary_bytes_are_read_or_refused(tail: bytes) -> None:
    try:
        protobuf.decode(b"k8s\x00" + tail)
    except (BadRequest, UnsupportedMediaType):
        return


@given(st.integers(0, 400))
def test_a_truncated_object_is_read_or_refused(length: int) -> None:
    try:
        protobuf.decode(protobuf.encode(POD)[:length])
    except (BadRequest, UnsupportedMediaType):
        return


SCALARS: dict[str, st.SearchStrategy[Any]] = {
    "double": st.sampled_from([0.5, -2.0]),
    "string": st.text("abcµ", min_size=1, max_size=4),
    "bytes": st.sampled_from(["AA==", "/w=="]),
    "bool": st.just(True),
    "int32": st.integers(-(2**31), 2**31 - 1).filter(bool),
    "int64": st.integers(-(2**63), 2**63 - 1).filter(bool),
}
SPECIAL: dict[str, st.SearchStrategy[Any]] = {
    "Time": st.sampled_from(["2026-01-31T12:00:00Z", "0001-01-01T00:00:02Z"]),
    "MicroTime": st.sampled_from(["2026-01-31T12:00:00.000001Z", "0001-01-01T00:00:02.000000Z"]),
    "Duration": st.sampled_from(["1h0m0s", "1.5s"]),
    "FieldsV1": st.just({"f:a": {}}),
    "Verbs": st.just(["get"]),
    "ExtraValue": st.just(["x"]),
    "RawExtension": st.just({"a": [1]}),
    "Quantity": st.sampled_from(["1Gi", "500m"]),
    "IntOrString": st.sampled_from([80, "25%"]),
    "JSON": st.sampled_from([0, "a", {"b": [1]}]),
    "JSONSchemaPropsOrArray": st.sampled_from([{"type": "string"}, [{"type": "object"}]]),
    "JSONSchemaPropsOrBool": st.sampled_from([{"type": "string"}, True]),
    "JSONSchemaPropsOrStringArray": st.sampled_from([{"type": "string"}, ["a"]]),
}


def message(name: str, depth: int = 0) -> st.SearchStrategy[dict[str, Any]]:
    if name in READERS or name in CHOICES:
        return SPECIAL[name.rpartition(".")[2]]
    parts: dict[str, st.SearchStrategy[Any]] = {}
    for field in fields_of(name):
        if field.kind == "message" and depth > 3:
            continue
        one = message(field.message, depth + 1) if field.kind == "message" else SCALARS[field.kind]
        if field.label == "repeated":
            parts[field.name] = st.lists(one, min_size=1, max_size=2)
        elif field.label == "map":
            parts[field.name] = st.dictionaries(st.text("ab", min_size=1, max_size=2), one, min_size=1, max_size=2)
        elif field.label != "inline":
            parts[field.name] = one
    chosen = dict(list(parts.items())[:12])
    return st.fixed_dictionaries({}, optional=chosen)


KINDS = [entry for entry in registry().entries() if protobuf.supports(entry.resource.api_version, entry.resource.kind)]


@given(st.data())
def test_every_kind_survives_the_way_there_and_back(drawn: st.DataObject) -> None:
    resource = drawn.draw(st.sampled_from(KINDS)).resource
    name = protobuf.message_name(resource.api_version, resource.kind)
    obj = {"apiVersion": resource.api_version, "kind": resource.kind, **drawn.draw(message(name))}
    read = protobuf.decode(protobuf.encode(obj))
    assert contains(read, obj)


def test_every_built_in_kind_has_a_protobuf_form() -> None:
    assert [entry.resource.kind for entry in registry().entries() if entry not in KINDS] == []


def test_every_field_of_the_schema_has_a_number() -> None:
    unnumbered = [
        f"{name}.{field}"
        for name in data.messages()
        if name not in READERS and name not in CHOICES
        for field in set(data.definitions().get(name, {}).get("properties", {})) - _fields_in_json(name)
    ]
    assert {field for field in unnumbered if not field.endswith((".kind", ".apiVersion"))} == set()


def _fields_in_json(message: str) -> set[str]:
    """Names that JSON shows on an object of that message, those of inlined messages included."""
    return {
        name
        for field in fields_of(message)
        for name in (_fields_in_json(field.message) if field.label == "inline" else {field.name})
    }


def test_a_definition_reads_as_the_original_writes_it() -> None:
    """A schema's fields that hold one of several things, as bytes put together by hand."""
    nested = wire.bytes_field(5, b"string")  # type
    some = wire.bytes_field(2, nested)  # JSONSchemaPropsOrBool.schema
    schema = (
        wire.bytes_field(5, b"object")
        + wire.bytes_field(30, wire.integer_field(1, 1) + some)  # additionalProperties
        + wire.bytes_field(8, wire.bytes_field(1, b'{"a":[1]}'))  # default
        + wire.bytes_field(24, wire.bytes_field(1, nested))  # items
    )
    assert decode_message(f"{EXTENSIONS}JSONSchemaProps", schema) == {
        "type": "object", "additionalProperties": {"type": "string"}, "default": {"a": [1]},
        "items": {"type": "string"},
    }  # fmt: skip


@pytest.mark.parametrize(
    "schema",
    [
        {"additionalProperties": False}, {"additionalProperties": True}, {"additionalItems": {"type": "string"}},
        {"items": {"type": "string"}}, {"items": [{"type": "string"}, {"type": "integer"}]},
        {"dependencies": {"a": ["b"], "c": {"type": "object"}}}, {"default": None, "enum": [1, "a", {}]},
        {"x-kubernetes-validations": [{"rule": "true", "optionalOldSelf": False}], "$ref": "a"},
    ],
    ids=str,
)  # fmt: skip
def test_schemas_of_definitions_survive_the_way_there_and_back(schema: Object) -> None:
    name = f"{EXTENSIONS}JSONSchemaProps"
    wanted = {key: value for key, value in schema.items() if value is not None}
    assert decode_message(name, encode_message(name, schema)) == wanted


@pytest.mark.parametrize(
    ("nanos", "text"),
    [(0, "0s"), (3600 * 10**9, "1h0m0s"), (1_500_000_000, "1.5s"), (300_000_000, "300ms"), (-(10**9), "-1s")],
)
def test_durations_are_written_as_go_does(nanos: int, text: str) -> None:
    assert format_duration(nanos) == text
    assert parse_duration(text) == nanos
