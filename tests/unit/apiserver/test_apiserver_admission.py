"""Namespaces, priorities, limit ranges and quotas."""

from __future__ import annotations

import threading

import pytest
from apiserver_objects import config_map, pod

from api import errors

pytestmark = pytest.mark.unit


def limited(**amounts: str):
    return [{"name": "main", "image": "web:1", "resources": {"requests": amounts, "limits": amounts}}]


def test_nothing_is_created_in_a_namespace_that_is_not_there(client):
    with pytest.raises(errors.NotFound, match='namespaces "nope" not found'):
        client.create("configmaps", config_map("a", "nope"))


def test_the_clusters_own_namespaces_cannot_be_deleted(client):
    with pytest.raises(errors.Forbidden, match="this namespace may not be deleted"):
        client.delete("namespaces", "kube-system")


def test_nothing_is_created_in_a_namespace_that_is_going(client):
    client.create("namespaces", {"metadata": {"name": "n"}})
    client.create("configmaps", config_map("a", "n"))
    client.delete("namespaces", "n")
    with pytest.raises(errors.Forbidden, match="because it is being terminated") as refused:
        client.create("configmaps", config_map("b", "n"))
    assert refused.value.causes[0].reason == "NamespaceTerminating"


def test_a_pod_of_an_unknown_account_is_refused(client):
    with pytest.raises(errors.Forbidden, match='error looking up service account default/who: serviceaccount "who"'):
        client.create("pods", pod("p", serviceAccountName="who"))


def test_priority_follows_from_the_class(client):
    made = client.create("pods", pod("p", priorityClassName="system-node-critical"))
    assert made["spec"]["priority"] == 2000001000
    with pytest.raises(errors.Forbidden, match="no PriorityClass with name x was found"):
        client.create("pods", pod("q", priorityClassName="x"))


def test_limit_ranges_set_defaults_and_bounds(cluster):
    client = cluster.client()
    limits = [
        {"type": "Container", "default": {"cpu": "200m"}, "defaultRequest": {"cpu": "100m"}, "max": {"cpu": "500m"}}
    ]
    client.create("limitranges", {"metadata": {"name": "l", "namespace": "default"}, "spec": {"limits": limits}})
    cluster.server.cache.catch_up()
    made = client.create("pods", pod("p"))
    assert made["spec"]["containers"][0]["resources"] == {"limits": {"cpu": "200m"}, "requests": {"cpu": "100m"}}
    with pytest.raises(errors.Forbidden, match="maximum cpu usage per Container is 500m, but limit is 1"):
        client.create("pods", pod("q", containers=limited(cpu="1")))


LIMITS = [
    ({"type": "Pod", "min": {"memory": "1Gi"}}, {"requests": {"cpu": "1"}},
     "minimum memory usage per Pod is 1Gi.  No request is specified"),
    ({"type": "Container", "min": {"cpu": "1"}}, {"requests": {"cpu": "100m"}},
     "minimum cpu usage per Container is 1, but request is 100m"),
    ({"type": "Container", "max": {"memory": "1Gi"}}, {"limits": {"cpu": "1"}},
     "maximum memory usage per Container is 1Gi, but limit is 2Gi"),
    ({"type": "Pod", "max": {"cpu": "1"}}, {"limits": {"cpu": "600m"}},
     "maximum cpu usage per Pod is 1, but limit is 1200m"),
    ({"type": "Container", "maxLimitRequestRatio": {"cpu": "2"}}, {"requests": {"cpu": "100m"}, "limits": {"cpu": "1"}},
     "cpu max limit to request ratio per Container is 2, but provided ratio is 10.000000"),
    ({"type": "Container", "maxLimitRequestRatio": {"cpu": "2"}}, {"requests": {"cpu": "100m"}},
     "cpu max limit to request ratio per Container is 2, but no limit is specified or limit is 0"),
]  # fmt: skip


@pytest.mark.parametrize(("limit", "resources", "why"), LIMITS, ids=[case[2][:45] for case in LIMITS])
def test_what_breaks_a_limit_range_is_said_once_in_the_originals_words(cluster, limit, resources, why):
    client = cluster.client()
    client.create("limitranges", {"metadata": {"name": "l", "namespace": "default"}, "spec": {"limits": [limit]}})
    cluster.server.cache.catch_up()
    given = resources | ({"limits": {"memory": "2Gi"}} if "max" in limit and limit["type"] == "Container" else {})
    two = [{"name": name, "image": "web:1", "resources": given} for name in ("a", "b")]
    with pytest.raises(errors.Forbidden) as refused:
        client.create("pods", pod("p", containers=two))
    assert refused.value.message == f'pods "p" is forbidden: {why}'


def test_of_several_broken_limit_ranges_the_first_is_told_of_and_overhead_counts_for_none(cluster):
    client = cluster.client()
    for name, high in (("a", "2"), ("b", "1"), ("c", "500m")):
        spec = {"limits": [{"type": "Pod", "max": {"cpu": high}}]}
        client.create("limitranges", {"metadata": {"name": name, "namespace": "default"}, "spec": spec})
    body = {"metadata": {"name": "vm"}, "handler": "vm", "overhead": {"podFixed": {"cpu": "5"}}}
    client.create("runtimeclasses.node.k8s.io", body)
    cluster.server.cache.catch_up()
    with pytest.raises(errors.Forbidden) as refused:
        client.create("pods", pod("p", containers=limited(cpu="1500m"), runtimeClassName="vm"))
    assert refused.value.message == 'pods "p" is forbidden: maximum cpu usage per Pod is 1, but limit is 1500m'
    made = client.create("pods", pod("p", containers=limited(cpu="500m"), runtimeClassName="vm"))
    assert made["spec"]["overhead"] == {"cpu": "5"}


def test_limit_ranges_of_claims_look_at_requests_only_and_say_what_they_set(cluster):
    client = cluster.client()
    limits = [
        {"type": "PersistentVolumeClaim", "max": {"storage": "1Gi"}},
        {"type": "Container", "default": {"cpu": "1"}, "defaultRequest": {"cpu": "1", "memory": "1Mi"}},
    ]
    client.create("limitranges", {"metadata": {"name": "l", "namespace": "default"}, "spec": {"limits": limits}})
    cluster.server.cache.catch_up()
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "2Gi"}}}
    with pytest.raises(errors.Forbidden, match="usage per PersistentVolumeClaim is 1Gi, but request is 2Gi"):
        client.create("persistentvolumeclaims", {"metadata": {"name": "c", "namespace": "default"}, "spec": spec})
    made = client.create("pods", pod("p", initContainers=[{"name": "i", "image": "i:1"}]))
    assert made["metadata"]["annotations"]["kubernetes.io/limit-ranger"] == (
        "LimitRanger plugin set: cpu, memory request for container main; cpu limit for container main; "
        "cpu, memory request for init container i; cpu limit for init container i"
    )


@pytest.fixture
def quota(cluster):
    """A quota of three pods and one cpu in `default`, as its controller leaves it."""
    hard = {"pods": "3", "requests.cpu": "1"}
    client = cluster.client()
    client.create("resourcequotas", {"metadata": {"name": "q", "namespace": "default"}, "spec": {"hard": hard}})
    status = {"hard": hard, "used": {"pods": "0", "requests.cpu": "0"}}
    client.patch("resourcequotas", "q", {"status": status}, "default", subresource="status")
    cluster.server.cache.catch_up()


def test_a_quota_makes_containers_say_what_they_want(client, quota):
    with pytest.raises(errors.Forbidden, match=r"failed quota: q: must specify requests.cpu for: main"):
        client.create("pods", pod("p"))


SAID = [
    ({"requests.ephemeral-storage": "1Gi"}, {}, ""),
    ({"limits.memory": "1Gi", "cpu": "1"}, {}, "cpu for: main; limits.memory for: main"),
    ({"cpu": "1", "memory": "1Gi"}, {"resources": {"requests": {"cpu": "1"}}}, "memory for: main"),
]


def test_a_quota_makes_pods_speak_of_cpu_and_memory_only(cluster):
    client = cluster.client()
    for number, (hard, spec, missing) in enumerate(SAID):
        namespace = f"n{number}"
        client.create("namespaces", {"metadata": {"name": namespace}})
        client.create("serviceaccounts", {"metadata": {"name": "default", "namespace": namespace}})
        client.create("resourcequotas", {"metadata": {"name": "q", "namespace": namespace}, "spec": {"hard": hard}})
        status = {"hard": hard, "used": dict.fromkeys(hard, "0")}
        client.patch("resourcequotas", "q", {"status": status}, namespace, subresource="status")
        cluster.server.cache.catch_up()
        if not missing:
            client.create("pods", pod("p", namespace, **spec))
            continue
        with pytest.raises(errors.Forbidden) as refused:
            client.create("pods", pod("p", namespace, **spec))
        assert refused.value.message == f'pods "p" is forbidden: failed quota: q: must specify {missing}'


def test_a_quota_is_charged_and_not_exceeded(client, quota):
    client.create("pods", pod("a", containers=limited(cpu="600m")))
    used = client.get("resourcequotas", "q", "default")["status"]["used"]
    assert used == {"pods": "1", "requests.cpu": "600m"}
    with pytest.raises(errors.Forbidden) as refused:
        client.create("pods", pod("b", containers=limited(cpu="500m")))
    assert refused.value.message == (
        'pods "b" is forbidden: exceeded quota: q, requested: requests.cpu=500m, used: requests.cpu=600m, '
        "limited: requests.cpu=1"
    )


def test_a_quota_is_charged_in_full_for_a_claim_that_moves_into_its_scope(cluster, client):
    hard = {"persistentvolumeclaims": "1", "requests.storage": "5Gi"}
    scope = {"scopeName": "VolumeAttributesClass", "operator": "In", "values": ["silver"]}
    spec = {"hard": hard, "scopeSelector": {"matchExpressions": [scope]}}
    client.create("resourcequotas", {"metadata": {"name": "q", "namespace": "default"}, "spec": spec})
    status = {"hard": hard, "used": dict.fromkeys(hard, "0")}
    client.patch("resourcequotas", "q", {"status": status}, "default", subresource="status")
    cluster.server.cache.catch_up()
    asked = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}, "volumeName": "v"}
    for name in ("a", "b"):
        meta = {"name": name, "namespace": "default"}
        claim = {"metadata": meta, "spec": asked | {"volumeAttributesClassName": "gold"}}
        client.create("persistentvolumeclaims", claim)
        client.patch("persistentvolumeclaims", name, {"status": {"phase": "Bound"}}, "default", subresource="status")
    silver = {"spec": {"volumeAttributesClassName": "silver"}}
    client.patch("persistentvolumeclaims", "a", silver, "default")
    used = client.get("resourcequotas", "q", "default")["status"]["used"]
    assert used == {"persistentvolumeclaims": "1", "requests.storage": "1Gi"}
    with pytest.raises(errors.Forbidden, match="requested: persistentvolumeclaims=1, used: persistentvolumeclaims=1"):
        client.patch("persistentvolumeclaims", "b", silver, "default")


def test_a_quota_is_exact_under_concurrent_creates(cluster, quota):
    outcomes: list[bool] = []

    def create(number: int) -> None:
        try:
            cluster.client().create("pods", pod(f"p{number}", containers=limited(cpu="1m")))
            outcomes.append(True)
        except errors.Forbidden:
            outcomes.append(False)

    threads = [threading.Thread(target=create, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes.count(True) == 3
    assert len(cluster.client().list("pods", "default").items) == 3
