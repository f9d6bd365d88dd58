"""What a node may write into a pod's status: one row a rule."""

from __future__ import annotations

from typing import Any

import pytest

from api.objects import Object
from api.validation import pod_status, pods

pytestmark = pytest.mark.unit

_ID = "must be between 0 and 2147483647, inclusive"
_CLAIM = (
    "must match one of the container's resource claims in a format 'claim:<claimName>/<request>' or "
    "'claim:<claimName>' if request is empty"
)
SPEC: Object = {
    "restartPolicy": "Always",
    "resourceClaims": [{"name": "gpu"}],
    "containers": [
        {"name": "app", "resources": {
            "requests": {"acme.io/nic": "1"},
            "claims": [{"name": "gpu", "request": "big"}, {"name": "net"}]}},
    ],
}  # fmt: skip


def devices(name: str, *resources: Object, container: str = "app") -> Object:
    return {"name": container, "allocatedResourcesStatus": [{"name": name, "resources": list(resources)}]}


def device(identity: str, health: str = "Healthy") -> Object:
    return {"resourceID": identity, "health": health}


def user(**linux: Any) -> Object:
    return {"name": "app", "user": {"linux": {"uid": 0, "gid": 0} | linux}}


FINE: list[Object] = [
    {"resourceClaimStatuses": [{"name": "gpu"}]},
    {"resourceClaimStatuses": [{"name": "gpu", "resourceClaimName": "pod-gpu-x"}]},
    {"containerStatuses": [devices("acme.io/nic", device("1"), device("2", "Unhealthy"), device("3", "Unknown"))]},
    {"containerStatuses": [devices("claim:gpu/big"), devices("claim:net"), devices("x", container="gone")]},
    {"ephemeralContainerStatuses": [{"name": "app", "allocatedResourcesStatus": []}]},
    {"containerStatuses": [user(supplementalGroups=[2**31 - 1])]},
]
REFUSED: list[tuple[Object, str, str]] = [
    ({"resourceClaimStatuses": [{"name": "tpu"}]}, "status.resourceClaimStatuses[0].name",
     'Invalid value: "tpu": must match the name of an entry in `spec.resourceClaims`'),
    ({"resourceClaimStatuses": [{"name": "gpu"}, {"name": "gpu"}]}, "status.resourceClaimStatuses[1].name",
     'Duplicate value: "gpu"'),
    ({"containerStatuses": [devices("cpu")]}, "status.containerStatuses[0].allocatedResourcesStatus[0].name",
     'Invalid value: "cpu": must match one of the container\'s resource requests'),
    ({"containerStatuses": [devices("claim:gpu")]}, "status.containerStatuses[0].allocatedResourcesStatus[0].name",
     f'Invalid value: "claim:gpu": {_CLAIM}'),
    ({"containerStatuses": [devices("claim:net", device("1", "Ill"))]},
     "status.containerStatuses[0].allocatedResourcesStatus[0].resources[0].health",
     'Unsupported value: "Ill": supported values: "Healthy", "Unhealthy", "Unknown"'),
    ({"containerStatuses": [devices("claim:net", device("1"), device("1"))]},
     "status.containerStatuses[0].allocatedResourcesStatus[0].resources[1].resourceID", 'Duplicate value: "1"'),
    ({"ephemeralContainerStatuses": [devices("claim:net")]},
     "status.ephemeralContainerStatuses[0].allocatedResourcesStatus",
     "Forbidden: must not be specified in container status"),
    ({"containerStatuses": [user(uid=-1)]}, "status.containerStatuses[0].linux.uid", f"Invalid value: -1: {_ID}"),
    ({"initContainerStatuses": [user(supplementalGroups=[2**31])]},
     "status.initContainerStatuses[0].linux.supplementalGroups[0]", f"Invalid value: 2147483648: {_ID}"),
]  # fmt: skip


def judged(status: Object, spec: Object = SPEC) -> list[tuple[str, str]]:
    found = pod_status.changed({"spec": spec, "status": status}, {"spec": spec, "status": {}})
    return [(cause.field, cause.message) for cause in found]


@pytest.mark.parametrize("status", FINE)
def test_a_status_that_fits_the_pod(status: Object) -> None:
    assert judged(status) == []


@pytest.mark.parametrize(("status", "place", "sentence"), REFUSED)
def test_a_status_that_does_not(status: Object, place: str, sentence: str) -> None:
    assert judged(status) == [(place, sentence)]


def test_a_claim_that_is_no_name() -> None:
    told = judged({"resourceClaimStatuses": [{"name": "gpu", "resourceClaimName": "A_b"}]})
    assert [place for place, _ in told] == ["status.resourceClaimStatuses[0].name"]


def test_no_container_of_windows_began_as_a_user_of_linux() -> None:
    status = {"containerStatuses": [user()]}
    assert judged(status, SPEC | {"os": {"name": "windows"}}) == [
        ("status.containerStatuses[0].linux", "Forbidden: cannot be set for a windows pod")
    ]


def test_no_status_makes_a_pod_a_mirror() -> None:
    old: Object = {"metadata": {}, "spec": SPEC | {"nodeName": "n"}, "status": {}}
    new = old | {"metadata": {"annotations": {"kubernetes.io/config.mirror": "x"}}}
    assert [cause.message for cause in pods.pod(new, old, "status")] == ["Forbidden: may not add mirror pod annotation"]
