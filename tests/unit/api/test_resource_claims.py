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
