"""What claims, their templates and published devices must say, and what is filled in for them."""

from __future__ import annotations

from typing import Any

import pytest

from api import validation
from api.defaults import apply_defaults
from api.registry import registry

pytestmark = pytest.mark.unit

ENTRIES = {entry.resource.kind: entry for entry in registry().entries() if entry.resource.group == "resource.k8s.io"}
EXACT = {"name": "r", "exactly": {"deviceClassName": "c"}}
FIRST = {"name": "r", "firstAvailable": [{"name": "s", "deviceClassName": "c"}]}


def made(kind: str, spec: Any) -> Any:
    metadata = {"name": "x"} | ({"namespace": "default"} if ENTRIES[kind].resource.namespaced else {})
    obj = {"apiVersion": "resource.k8s.io/v1", "kind": kind, "metadata": metadata, "spec": spec}
    return apply_defaults(obj)


def claim(*requests: Any) -> Any:
    return made("ResourceClaim", {"devices": {"requests": list(requests)}})


def published(**spec: Any) -> Any:
    whole = {"driver": "x.example", "nodeName": "n", "pool": {"name": "p", "resourceSliceCount": 1}} | spec
    return made("ResourceSlice", {name: value for name, value in whole.items() if value is not None})


@pytest.mark.parametrize(
    ("obj", "fields"),
    [
        (claim(EXACT, FIRST | {"name": "q"}), []),
        (claim({"name": "r"}), ["spec.devices.requests[0]"]),
        (claim(EXACT | FIRST), ["spec.devices.requests[0]"]),
        (claim({"name": "r", "exactly": {}}), ["spec.devices.requests[0].exactly.deviceClassName"]),
        (published(), []),
        (published(nodeName=None), ["spec"]),
        (published(allNodes=True), ["spec"]),
        (published(driver="", pool={"name": "", "resourceSliceCount": 1}), ["spec.driver", "spec.pool.name"]),
    ],
)
def test_what_is_wrong(obj: Any, fields: list[str]) -> None:
    causes = validation.validate(ENTRIES[obj["kind"]], obj)
    assert [cause.field for cause in causes] == fields


def wanted(**more: Any) -> Any:
    return {"name": "r", "exactly": {"deviceClassName": "c"} | more}


def device(**more: Any) -> Any:
    return {"name": "d"} | more


_ONE_OF = "exactly one of `exactly` or `firstAvailable` is required"
_PLACES = "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required"
_NO_REQUEST = "must be the name of a request in the claim or the name of a request and a subrequest separated by '/'"
_REQUEST = "spec.devices.requests[0]"
REFUSED: list[tuple[Any, list[str]]] = [
    (claim({"name": "r"}), [f"{_REQUEST}: Required value: {_ONE_OF}"]),
    (claim(EXACT | FIRST), [f'{_REQUEST}: Invalid value: "null": {_ONE_OF}, but multiple fields are set']),
    (claim(EXACT, EXACT), ['spec.devices.requests[1]: Duplicate value: "r"']),
    (claim(*[EXACT | {"name": f"r{n}"} for n in range(33)]),
     ["spec.devices.requests: Too many: 33: must have at most 32 items"]),
    (claim(wanted(allocationMode="Some")),
     [f'{_REQUEST}.exactly.allocationMode: Unsupported value: "Some": supported values: "All", "ExactCount"']),
    (claim(wanted(allocationMode="All", count=2)),
     [f"{_REQUEST}.exactly.count: Invalid value: 2: must not be specified when allocationMode is 'All'"]),
    (claim(wanted(count=-1)), [f"{_REQUEST}.exactly.count: Invalid value: -1: must be greater than zero"]),
    (claim(wanted(selectors=[{"cel": {"expression": "device.driver == 'a' && 1 < device.capacity['b'].c"}}])), []),
    (claim(wanted(selectors=[{"cel": {"expression": "1 + 1"}}, {}])),
     [f'{_REQUEST}.exactly.selectors[0].cel.expression: Invalid value: "1 + 1": must evaluate to bool or the unknown '
      "type, not int", f"{_REQUEST}.exactly.selectors[1].cel: Required value"]),
    (claim(wanted(tolerations=[{"operator": "Exists", "value": "v", "effect": "No"}])),
     [f'{_REQUEST}.exactly.tolerations[0].value: Invalid value: "v": must be empty for operator `Exists`',
      f'{_REQUEST}.exactly.tolerations[0].effect: Unsupported value: "No": supported values: "NoExecute", '
      '"NoSchedule", "None"']),
    (made("ResourceClaim", {"devices": {"requests": [EXACT, FIRST | {"name": "q"}], "constraints": [
        {"requests": ["r", "q/s"], "matchAttribute": "x.example/model"}, {"requests": ["z"], "matchAttribute": "model"},
        {}]}}),
     [f'spec.devices.constraints[1].requests[0]: Invalid value: "z": {_NO_REQUEST}',
      'spec.devices.constraints[1].matchAttribute: Invalid value: "model": a fully qualified name must be a domain and '
      "a name separated by a slash",
      'spec.devices.constraints[2]: Required value: exactly one of "matchAttribute" or "distinctAttribute" is '
      "required, but multiple fields are set"]),
    (made("ResourceClaim", {"devices": {"config": [{}, {"opaque": {"driver": "x.example", "parameters": [1]}}]}}),
     ["spec.devices.config[0].opaque: Required value",
      'spec.devices.config[1].opaque.parameters: Invalid value: "<value omitted>": must be a valid JSON object']),
    (made("DeviceClass", {"extendedResourceName": "cpu"}),
     ['spec.extendedResourceName: Invalid value: "cpu": must be a valid extended resource name']),
    (made("DeviceTaintRule", {"deviceSelector": {"driver": "x.example"}, "taint": {"key": "a", "effect": "NoExecute"}}),
     []),
    (made("DeviceTaintRule", {"deviceSelector": {"pool": "P"}, "taint": {"key": "a", "value": "-", "effect": "No"}}),
     ["spec.deviceSelector.pool: Invalid value: \"P\": a lowercase RFC 1123 subdomain must consist of lower case "
      "alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', "
      "regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')",
      "spec.taint.value: Invalid value: \"-\": a valid label must be an empty string or consist of alphanumeric "
      "characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or "
      "'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')",
      'spec.taint.effect: Unsupported value: "No": supported values: "NoExecute", "NoSchedule", "None"']),
    (published(nodeName=None), [f"spec: Required value: {_PLACES}"]),
    (published(allNodes=True),
     [f'spec: Invalid value: "{{`nodeName`, `allNodes`}}": {_PLACES}, but multiple fields are set']),
    (published(pool={"name": "p", "resourceSliceCount": 0}),
     ["spec.pool.resourceSliceCount: Invalid value: 0: must be greater than zero"]),
    (published(devices=[device(), device()]), ['spec.devices[1]: Duplicate value: "d"']),
    (published(devices=[device(attributes={"model": {"string": "a"}, "x.example/v": {"version": "1.2.3-a+b"}},
                               capacity={"memory": {"value": "1Gi"}})]), []),
    (published(devices=[device(attributes={"v": {"version": "1.2"}, "n": {}})]),
     ['spec.devices[0].attributes[v].version: Invalid value: "1.2": must be a string compatible with semver.org spec '
      "2.0.0", 'spec.devices[0].attributes[n]: Invalid value: "": exactly one value must be specified']),
    (published(devices=[device(attributes={"a/b/c": {"int": 1}, "/x": {"bool": True}})]),
     ['spec.devices[0].attributes: Invalid value: "a/b/c": must not contain more than one slash',
      'spec.devices[0].attributes: Invalid value: "": the domain must not be empty']),
    (published(devices=[device(allNodes=True)]),
     ['spec.devices[0]: Invalid value: "null": `nodeName`, `nodeSelector` and `allNodes` can only be set if '
      "`perDeviceNodeSelection` is set to true in the ResourceSlice spec"]),
    (published(devices=[device()] * 129), ["spec.devices: Too many: 129: must have at most 128 items"]),
]  # fmt: skip


@pytest.mark.parametrize(("obj", "wanted"), REFUSED, ids=lambda value: str(value)[:50])
def test_it_is_told_in_the_originals_words(obj: Any, wanted: list[str]) -> None:
    causes = validation.validate(ENTRIES[obj["kind"]], obj)
    assert [f"{cause.field}: {cause.message}" for cause in causes] == wanted


_RESULT = {"request": "r", "driver": "x.example", "pool": "p", "device": "d"}
_CONSUMER = {"resource": "pods", "name": "p", "uid": "u"}
STATUSES: list[tuple[Any, list[str]]] = [
    ({"allocation": {"devices": {"results": [_RESULT]}}, "reservedFor": [_CONSUMER]}, []),
    ({"reservedFor": [_CONSUMER]},
     ["status.reservedFor: Forbidden: may not be specified when `allocated` is not set"]),
    ({"allocation": {"devices": {"results": [_RESULT | {"request": "z"}]}}},
     [f'status.allocation.devices.results[0].request: Invalid value: "z": {_NO_REQUEST}']),
    ({"allocation": {"devices": {"results": [_RESULT]}}, "reservedFor": [_CONSUMER, _CONSUMER]},
     ['status.reservedFor[1]: Duplicate value: "u"']),
    ({"allocation": {"devices": {"results": [_RESULT]}},
      "devices": [{"driver": "x.example", "pool": "p", "device": "other"}]},
     ['status.devices[0]: Invalid value: "x.example/p/other": must be an allocated device in the claim']),
]  # fmt: skip


@pytest.mark.parametrize(("status", "wanted"), STATUSES, ids=lambda value: str(value)[:50])
def test_what_a_claim_was_given_fits_what_it_asked_for(status: Any, wanted: list[str]) -> None:
    obj = claim(EXACT)
    causes = validation.validate(ENTRIES["ResourceClaim"], obj | {"status": status}, obj, "status")
    assert [f"{cause.field}: {cause.message}" for cause in causes] == wanted


def test_what_a_claim_was_given_stays() -> None:
    old = claim(EXACT) | {"status": {"allocation": {"devices": {"results": [_RESULT]}}}}
    new = claim(EXACT) | {"status": {"allocation": {"devices": {"results": [_RESULT | {"device": "e"}]}}}}
    causes = validation.validate(ENTRIES["ResourceClaim"], new, old, "status")
    assert [cause.field for cause in causes] == ["status.allocation"]


def test_one_device_is_wanted_unless_more_or_all_are() -> None:
    every = {"name": "a", "exactly": {"deviceClassName": "c", "allocationMode": "All"}}
    requests = claim(EXACT, FIRST, every)["spec"]["devices"]["requests"]
    wanted = [requests[0]["exactly"], requests[1]["firstAvailable"][0], requests[2]["exactly"]]
    assert [(one["allocationMode"], one.get("count")) for one in wanted] == [("ExactCount", 1)] * 2 + [("All", None)]


@pytest.mark.parametrize("kind", ["ResourceClaim", "ResourceClaimTemplate"])
def test_what_is_claimed_never_changes(kind: str) -> None:
    old, new = ({"devices": {"requests": [{"name": name, "exactly": EXACT["exactly"]}]}} for name in "ab")
    inner = (lambda spec: {"spec": spec}) if kind == "ResourceClaimTemplate" else (lambda spec: spec)
    causes = validation.validate(ENTRIES[kind], made(kind, inner(new)), made(kind, inner(old)))
    assert "spec" in [cause.field for cause in causes]
