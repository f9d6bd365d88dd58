"""Claims and ingresses that name no class: which class they get, and when they get none."""

from __future__ import annotations

from typing import Any

import pytest

from api.objects import name_of

pytestmark = pytest.mark.unit

STORAGE = "storageclass.kubernetes.io/is-default-class"
OLD_STORAGE = "storageclass.beta.kubernetes.io/is-default-class"
INGRESS = "ingressclass.kubernetes.io/is-default-class"


def storage_class(client: Any, name: str, **marks: str) -> None:
    annotations = {STORAGE if mark == "now" else OLD_STORAGE: value for mark, value in marks.items()}
    client.create(
        "storageclasses.storage.k8s.io",
        {"metadata": {"name": name, "annotations": annotations}, "provisioner": "example.com/p"},
    )


def claim(client: Any, annotations: dict[str, str] | None = None, **spec: Any) -> Any:
    metadata = {"name": "c", "namespace": "default", "annotations": annotations or {}}
    size = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    return client.create("persistentvolumeclaims", {"metadata": metadata, "spec": size | spec})["spec"]


def test_a_claim_without_a_class_gets_the_newest_default(cluster):
    client = cluster.client()
    for one in client.list("storageclasses.storage.k8s.io").items:
        client.delete("storageclasses.storage.k8s.io", name_of(one))
    storage_class(client, "plain", now="false")
    cluster.server.cache.catch_up()
    assert "storageClassName" not in claim(client)
    client.delete("persistentvolumeclaims", "c", "default")
    client.patch("persistentvolumeclaims", "c", {"metadata": {"finalizers": None}}, "default")
    storage_class(client, "marked-of-old", beta="true")
    cluster.server.cache.catch_up()
    assert claim(client)["storageClassName"] == "marked-of-old"


@pytest.mark.parametrize(
    ("annotations", "spec", "expected"),
    [
        ({}, {}, "local-path"),
        ({}, {"storageClassName": ""}, ""),
        ({}, {"storageClassName": "other"}, "other"),
        ({"volume.beta.kubernetes.io/storage-class": "of-old"}, {}, None),
    ],
)
def test_a_claim_that_says_something_of_its_class_keeps_to_it(client, annotations, spec, expected):
    assert claim(client, annotations, **spec).get("storageClassName") == expected


@pytest.mark.parametrize(
    ("annotations", "named", "expected"),
    [({}, None, "b"), ({}, "a", "a"), ({"kubernetes.io/ingress.class": "of-old"}, None, None)],
)
def test_an_ingress_without_a_class_gets_the_default_one(cluster, annotations, named, expected):
    client = cluster.client()
    for name, marked in (("a", "false"), ("b", "true")):
        metadata = {"name": name, "annotations": {INGRESS: marked}}
        client.create(
            "ingressclasses.networking.k8s.io", {"metadata": metadata, "spec": {"controller": "example.com/c"}}
        )
    cluster.server.cache.catch_up()
    backend = {"defaultBackend": {"service": {"name": "s", "port": {"number": 80}}}}
    spec = backend | ({"ingressClassName": named} if named else {})
    body = {"metadata": {"name": "i", "namespace": "default", "annotations": annotations}, "spec": spec}
    assert client.create("ingresses.networking.k8s.io", body)["spec"].get("ingressClassName") == expected
