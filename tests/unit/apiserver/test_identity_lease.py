"""The Leases by which API servers say that they are there."""

from __future__ import annotations

from typing import Any

import pytest

from api.runtime import micro_timestamp
from control.apiserver.identity_lease import LABEL, NAMESPACE, IdentityLease, has_expired, name_of_host

pytestmark = pytest.mark.unit

LEASES = "leases.coordination.k8s.io"


def spec(seconds_ago: float, **others: Any) -> dict[str, Any]:
    return {"renewTime": micro_timestamp(10_000.0 - seconds_ago), "leaseDurationSeconds": 3600} | others


@pytest.mark.parametrize(
    ("lease", "expired"),
    [
        ({"spec": spec(3599)}, False),
        ({"spec": spec(3601)}, True),
        ({"spec": spec(10, renewTime=None)}, True),
        ({"spec": spec(10, leaseDurationSeconds=None)}, True),
        ({}, True),
    ],
)
def test_a_lease_ends_when_nobody_renews_it(lease: dict[str, Any], expired: bool) -> None:
    assert has_expired(lease, 10_000.0) is expired


def renewed_by(cluster: Any, one: IdentityLease) -> tuple[str, str]:
    one.once()
    cluster.server.cache.catch_up()
    found = cluster.client().get(LEASES, name_of_host("a"), NAMESPACE)
    assert found["metadata"]["labels"] == {LABEL: "kube-apiserver", "kubernetes.io/hostname": "a"}
    assert found["spec"]["leaseDurationSeconds"] == 3600
    return found["spec"]["holderIdentity"], found["spec"]["renewTime"]


def test_servers_of_one_host_renew_its_lease_for_one_another(cluster: Any) -> None:
    first, second = IdentityLease(cluster.server, "a"), IdentityLease(cluster.server, "a")
    made = renewed_by(cluster, first)
    assert made[0].startswith(f"{name_of_host('a')}_")
    assert renewed_by(cluster, second) == made
    again = renewed_by(cluster, first)
    assert again[0] == made[0] and again[1] > made[1]
    late = micro_timestamp(cluster.server.runtime.time() - 25)
    cluster.client().patch(LEASES, name_of_host("a"), {"spec": {"renewTime": late}}, NAMESPACE)
    cluster.server.cache.catch_up()
    assert renewed_by(cluster, second)[0] != made[0]


def test_leases_of_servers_that_are_gone_are_taken_away(cluster: Any) -> None:
    client, now = cluster.client(), cluster.server.runtime.time()
    for name, label, ago in (("gone", "kube-apiserver", 4000), ("there", "kube-apiserver", 5), ("else", "other", 4000)):
        body = {"metadata": {"name": name, "namespace": NAMESPACE, "labels": {LABEL: label}}}
        client.create(LEASES, body | {"spec": spec(0, renewTime=micro_timestamp(now - ago))})
    cluster.server.cache.catch_up()
    IdentityLease(cluster.server, "a").once()
    left = {one["metadata"]["name"] for one in client.list(LEASES, NAMESPACE).items}
    assert left == {name_of_host("a"), "there", "else"}
