"""componentstatuses: told from who renews the Leases, and from the store."""

from __future__ import annotations

from typing import Any

import pytest

from api.runtime import timestamp

pytestmark = pytest.mark.unit

PATH = "/api/v1/componentstatuses"
LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases"
TABLE = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}


def lead(cluster: Any, name: str, ago: float) -> None:
    renewed = timestamp(cluster.server.runtime.time() - ago).replace("Z", ".000000Z")
    spec = {"holderIdentity": "me", "renewTime": renewed, "leaseDurationSeconds": 15}
    assert cluster.request("POST", LEASES, {"metadata": {"name": name}, "spec": spec})[0] == 201


def test_a_component_is_healthy_while_its_leader_renews_its_lease(cluster):
    lead(cluster, "kube-scheduler", 5)
    lead(cluster, "kube-controller-manager", 60)
    status, found, headers = cluster.request("GET", PATH)
    assert (status, found["kind"]) == (200, "ComponentStatusList")
    said = {one["metadata"]["name"]: one["conditions"][0] for one in found["items"]}
    ok = {"type": "Healthy", "status": "True", "message": "ok"}
    assert (said["scheduler"], said["etcd-0"]) == (ok, ok)
    assert said["controller-manager"] == {
        "type": "Healthy", "status": "False",
        "message": "me has not renewed the lease kube-system/kube-controller-manager in time",
    }  # fmt: skip
    assert "deprecated" in headers["Warning"]


def test_components_are_selected_shown_alone_and_as_tables(cluster):
    status, one, _ = cluster.request("GET", f"{PATH}/scheduler")
    assert (status, one["kind"], one["conditions"][0]["status"]) == (200, "ComponentStatus", "False")
    assert "nobody leads" in one["conditions"][0]["message"]
    assert cluster.request("GET", f"{PATH}/kubelet")[0] == 404
    _, table, _ = cluster.request("GET", f"{PATH}?fieldSelector=metadata.name%3Detcd-0", headers=TABLE)
    assert [row["cells"] for row in table["rows"]] == [["etcd-0", "Healthy", "ok", ""]]
    status, table, _ = cluster.request("GET", f"{PATH}/etcd-0", headers=TABLE)
    assert (status, table["metadata"], [row["cells"][0] for row in table["rows"]]) == (200, {}, ["etcd-0"])
    assert cluster.request("GET", f"{PATH}?watch=true")[0] == 405
    (resource,) = [one for one in cluster.request("GET", "/api/v1")[1]["resources"] if one["name"] == PATH[8:]]
    assert resource["verbs"] == ["get", "list"]
