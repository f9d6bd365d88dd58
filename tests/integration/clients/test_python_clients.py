"""The Python clients do what their users do with them: apply, watch, scale, page, wait, evict, ask who may what."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Iterator
from typing import Any

import kr8s
import kubernetes
import kubernetes_asyncio
import lightkube
import pytest
from client_cluster import ClientCluster
from kr8s.objects import ConfigMap as Kr8sConfigMap
from kr8s.objects import Deployment as Kr8sDeployment
from kr8s.objects import Pod as Kr8sPod
from lightkube.core.exceptions import ApiError as LightkubeError
from lightkube.models.apps_v1 import DeploymentSpec
from lightkube.models.autoscaling_v1 import ScaleSpec
from lightkube.models.core_v1 import Container, PodSpec, PodTemplateSpec
from lightkube.models.meta_v1 import LabelSelector, ObjectMeta
from lightkube.resources.apps_v1 import Deployment
from lightkube.resources.core_v1 import ConfigMap, Pod
from lightkube.types import PatchType

pytestmark = pytest.mark.integration


def deployment(name: str, replicas: int = 2) -> dict[str, Any]:
    labels = {"app": name}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "main", "image": "web:1"}]}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "labels": labels},
        "spec": {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template},
    }


def config_map(name: str, **data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


@pytest.fixture
def official(cluster: ClientCluster) -> Iterator[kubernetes.client.ApiClient]:
    with kubernetes.config.new_client_from_config(str(cluster.kubeconfig)) as client:
        yield client


def test_kubernetes_rolls_out_scales_and_rolls_back(official: Any, namespace: str) -> None:
    apps = kubernetes.client.AppsV1Api(official)
    made = apps.create_namespaced_deployment(namespace, deployment("web"))
    assert made.metadata.generation == 1 and made.spec.strategy.type == "RollingUpdate"
    watch = kubernetes.watch.Watch()
    for event in watch.stream(apps.list_namespaced_deployment, namespace, timeout_seconds=60):
        if event["object"].status.ready_replicas == 2:
            watch.stop()
    scale = apps.read_namespaced_deployment_scale("web", namespace)
    scale.spec.replicas = 3
    assert apps.replace_namespaced_deployment_scale("web", namespace, scale).spec.replicas == 3
    change = {"spec": {"template": {"spec": {"containers": [{"name": "main", "image": "web:2"}]}}}}
    patched = apps.patch_namespaced_deployment("web", namespace, change)
    assert patched.spec.template.spec.containers[0].image == "web:2" and patched.spec.replicas == 3
    status = apps.patch_namespaced_deployment_status("web", namespace, {"metadata": {"annotations": {"a": "b"}}})
    assert status.metadata.annotations["a"] == "b"
    apps.delete_namespaced_deployment("web", namespace, propagation_policy="Foreground")


def test_kubernetes_pages_selects_and_watches_from_a_version(official: Any, namespace: str) -> None:
    core = kubernetes.client.CoreV1Api(official)
    for number in range(7):
        core.create_namespaced_config_map(namespace, config_map(f"c{number}") | {"immutable": number == 0})
    first = core.list_namespaced_config_map(namespace, limit=3)
    assert first.metadata.remaining_item_count == 5 and len(first.items) == 3
    names = [item.metadata.name for item in first.items]
    token, version = first.metadata._continue, first.metadata.resource_version
    core.delete_namespaced_config_map("c6", namespace)
    while token:
        page = core.list_namespaced_config_map(namespace, limit=3, _continue=token)
        assert page.metadata.resource_version == version
        names += [item.metadata.name for item in page.items]
        token = page.metadata._continue
    assert names == [*(f"c{number}" for number in range(7)), "kube-root-ca.crt"]
    seen = kubernetes.watch.Watch().stream(
        core.list_namespaced_config_map, namespace, resource_version=version, timeout_seconds=1
    )
    assert [(event["type"], event["object"].metadata.name) for event in seen] == [("DELETED", "c6")]
    found = core.list_namespaced_config_map(namespace, field_selector="metadata.name!=c1", label_selector="!x")
    assert len(found.items) == 6


def test_kubernetes_reports_refusals_as_status(official: Any, namespace: str) -> None:
    core = kubernetes.client.CoreV1Api(official)
    with pytest.raises(kubernetes.client.ApiException) as refused:
        core.read_namespaced_pod("nobody", namespace)
    assert (refused.value.status, refused.value.reason) == (404, "Not Found")
    assert '"reason":"NotFound"' in refused.value.body
    core.create_namespaced_config_map(namespace, config_map("fixed") | {"immutable": True})
    with pytest.raises(kubernetes.client.ApiException) as refused:
        core.patch_namespaced_config_map("fixed", namespace, {"data": {"a": "b"}})
    assert refused.value.status == 422 and "field is immutable when `immutable` is set" in refused.value.body


def test_kubernetes_evicts_binds_and_asks_who_may(official: Any, namespace: str, cluster: ClientCluster) -> None:
    core = kubernetes.client.CoreV1Api(official)
    pod = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "main", "image": "web:1"}]}}
    core.create_namespaced_pod(namespace, pod)
    running = lambda: core.read_namespaced_pod("p", namespace).status.phase == "Running"  # noqa: E731
    cluster.until(running, "the pod runs")
    core.create_namespaced_pod_eviction("p", namespace, {"metadata": {"name": "p", "namespace": namespace}})
    gone = lambda: not core.list_namespaced_pod(namespace, field_selector="metadata.name=p").items  # noqa: E731
    cluster.until(gone, "the evicted pod is gone")
    core.create_namespaced_service_account(namespace, {"metadata": {"name": "robot"}})
    request = {"spec": {"audiences": ["https://example.com"], "expirationSeconds": 600}}
    token = core.create_namespaced_service_account_token("robot", namespace, request)
    reviews = kubernetes.client.AuthenticationV1Api(official)
    review = reviews.create_token_review({"spec": {"token": token.status.token, "audiences": ["https://example.com"]}})
    assert review.status.user.username == f"system:serviceaccount:{namespace}:robot"
    access = kubernetes.client.AuthorizationV1Api(official).create_self_subject_access_review(
        {"spec": {"resourceAttributes": {"namespace": namespace, "verb": "get", "resource": "pods"}}}
    )
    assert access.status.allowed


def test_a_secret_of_an_account_gets_its_token_and_goes_with_it(
    official: Any, namespace: str, cluster: ClientCluster
) -> None:
    core = kubernetes.client.CoreV1Api(official)
    core.create_namespaced_service_account(namespace, {"metadata": {"name": "robot"}})
    metadata = {"name": "key", "annotations": {"kubernetes.io/service-account.name": "robot"}}
    core.create_namespaced_secret(namespace, {"metadata": metadata, "type": "kubernetes.io/service-account-token"})
    held: dict[str, str] = {}

    def filled() -> bool:
        held.update(core.read_namespaced_secret("key", namespace).data or {})
        return "token" in held

    cluster.until(filled, "the Secret holds a token")
    assert base64.b64decode(held["namespace"]).decode() == namespace
    assert base64.b64decode(held["ca.crt"]).startswith(b"-----BEGIN CERTIFICATE")
    review = {"spec": {"token": base64.b64decode(held["token"]).decode()}}
    reviews = kubernetes.client.AuthenticationV1Api(official)
    assert reviews.create_token_review(review).status.user.username == f"system:serviceaccount:{namespace}:robot"
    core.delete_namespaced_service_account("robot", namespace)
    named = "metadata.name=key"
    gone = lambda: not core.list_namespaced_secret(namespace, field_selector=named).items  # noqa: E731
    cluster.until(gone, "the Secret went with the account")


def test_kubernetes_dynamic_client_applies_and_finds_resources(official: Any, namespace: str) -> None:
    dynamic = kubernetes.dynamic.DynamicClient(official)
    maps = dynamic.resources.get(api_version="v1", kind="ConfigMap")
    applied = maps.server_side_apply(namespace=namespace, body=config_map("one", a="1"), field_manager="me")
    assert applied.metadata.managedFields[0].operation == "Apply"
    with pytest.raises(kubernetes.dynamic.exceptions.ConflictError):
        maps.server_side_apply(namespace=namespace, body=config_map("one", a="2"), field_manager="other")
    events = maps.watch(namespace=namespace, timeout=5, name="one")
    assert next(events)["type"] == "ADDED"
    hpa = dynamic.resources.get(api_version="autoscaling/v1", kind="HorizontalPodAutoscaler")
    assert hpa.get(namespace=namespace).items == []


def test_kubernetes_asyncio_watches_while_it_writes(cluster: ClientCluster, namespace: str) -> None:
    async def work() -> list[tuple[str, str]]:
        await kubernetes_asyncio.config.load_kube_config(str(cluster.kubeconfig))
        async with kubernetes_asyncio.client.ApiClient() as client:
            core = kubernetes_asyncio.client.CoreV1Api(client)
            version = (await core.list_namespaced_config_map(namespace)).metadata.resource_version
            seen: list[tuple[str, str]] = []

            async def look() -> None:
                async with kubernetes_asyncio.watch.Watch() as watch:
                    async for event in watch.stream(
                        core.list_namespaced_config_map, namespace, resource_version=version, timeout_seconds=30
                    ):
                        seen.append((event["type"], event["object"].metadata.name))
                        if event["type"] == "DELETED":
                            return

            looking = asyncio.create_task(look())
            await core.create_namespaced_config_map(namespace, config_map("a", x="1"))
            await core.patch_namespaced_config_map("a", namespace, {"data": {"x": "2"}})
            await core.delete_namespaced_config_map("a", namespace)
            await asyncio.wait_for(looking, 30)
            return seen

    assert asyncio.run(work()) == [("ADDED", "a"), ("MODIFIED", "a"), ("DELETED", "a")]


def test_kr8s_creates_scales_waits_and_deletes(cluster: ClientCluster, namespace: str) -> None:
    client = kr8s.api(kubeconfig=str(cluster.kubeconfig), namespace=namespace)
    web = Kr8sDeployment(deployment("web"), namespace=namespace, api=client)
    web.create()
    web.wait("condition=Available", timeout=60)
    web.scale(3)
    cluster.until(lambda: len([pod for pod in web.pods() if pod.ready()]) == 3, "three pods are ready")
    web.label({"tier": "front"})
    assert [one.name for one in client.get("deployments", label_selector={"tier": "front"})] == ["web"]
    settings = Kr8sConfigMap(config_map("settings", a="1"), namespace=namespace, api=client)
    settings.create()
    settings.patch({"data": {"a": "2"}})
    settings.refresh()
    assert settings.data.a == "2"
    pod = next(iter(client.get("pods", label_selector="app=web")))
    assert isinstance(pod, Kr8sPod) and pod.status.phase == "Running"
    assert client.version()["major"] == "1" and any(one["kind"] == "Ingress" for one in client.api_resources())
    web.delete()
    web.wait("delete", timeout=60)
    assert not web.exists()


def test_lightkube_applies_scales_and_waits(cluster: ClientCluster, namespace: str) -> None:
    config = lightkube.KubeConfig.from_file(cluster.kubeconfig)
    client = lightkube.Client(config=config, namespace=namespace, field_manager="lightkube")
    labels = {"app": "web"}
    template = PodTemplateSpec(
        metadata=ObjectMeta(labels=labels), spec=PodSpec(containers=[Container(name="main", image="web:1")])
    )
    spec = DeploymentSpec(selector=LabelSelector(matchLabels=labels), template=template, replicas=1)
    web = Deployment(metadata=ObjectMeta(name="web", namespace=namespace), spec=spec)
    assert client.apply(web).metadata.managedFields[0].manager == "lightkube"
    client.wait(Deployment, "web", for_conditions=["Available"])
    scale = client.get(Deployment.Scale, "web")
    client.replace(Deployment.Scale(metadata=scale.metadata, spec=ScaleSpec(replicas=2)), "web")
    cluster.until(lambda: client.get(Deployment, "web").status.readyReplicas == 2, "two replicas are ready")
    assert len(list(client.list(Pod, labels={"app": "web"}))) == 2
    client.create(ConfigMap(metadata=ObjectMeta(name="a", labels={"set": "x"}), data={"k": "1"}))
    patched = client.patch(ConfigMap, "a", [{"op": "add", "path": "/data/l", "value": "2"}], patch_type=PatchType.JSON)
    assert patched.data == {"k": "1", "l": "2"}
    assert next(iter(client.watch(ConfigMap, labels={"set": "x"})))[0] == "ADDED"
    client.deletecollection(ConfigMap)
    with pytest.raises(LightkubeError, match='configmaps "a" not found'):
        client.get(ConfigMap, "a")
