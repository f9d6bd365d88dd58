"""A pod's image comes from a registry that wants to know who asks."""

from __future__ import annotations

import base64
import re
import shutil
from pathlib import Path

import orjson
import pytest
from image_registry import IMAGE, PLACE, USER, WORD, served
from pod_case import shell
from podman_host import Node, eventually
from traces import NAMESPACE, container, create, messages, ready

from agents.network.namespaces import inside

pytestmark = pytest.mark.integration


def test_an_image_is_pulled_as_the_pods_secret_says(clean: Node) -> None:
    known = {"auth": base64.b64encode(f"{USER}:{WORD}".encode()).decode()}
    secret = {"type": "kubernetes.io/dockerconfigjson", "metadata": {"name": "word", "namespace": NAMESPACE}}
    content = {".dockerconfigjson": orjson.dumps({"auths": {PLACE: known}}).decode()}
    clean.client.create("secrets", secret | {"stringData": content})
    wanted = [{**shell("exec busybox sleep 1000"), "image": IMAGE, "imagePullPolicy": "Always"}]
    files = {"bin/busybox": Path(shutil.which("busybox") or "")}
    try:
        with served(files, lambda: inside(clean.namespace)) as registry:
            create(clean, "stranger", containers=wanted, terminationGracePeriodSeconds=0)
            create(clean, "known", containers=wanted, imagePullSecrets=[{"name": "word"}],
                   terminationGracePeriodSeconds=0)  # fmt: skip
            ready(clean, "known")
            # That it is there now is of no use to who may not have it.
            create(clean, "sly", containers=[wanted[0] | {"imagePullPolicy": "Never"}], terminationGracePeriodSeconds=0)
            eventually(lambda: "is not present with pull policy of Never" in messages(clean, "sly"), "it is refused")
        assert container(clean, "known")["imageID"] == f"{IMAGE.removesuffix(':1')}@{registry.digest}"
        assert f'Successfully pulled image "{IMAGE}" in ' in messages(clean, "known")
        refused = re.compile(f'Failed to pull image "{IMAGE}": .*unauthorized', re.IGNORECASE)
        eventually(lambda: refused.search(messages(clean, "stranger")), "users are told")
        for name in ("known", "stranger", "sly"):
            clean.client.delete("pods", name, NAMESPACE, grace_period_seconds=0)
        eventually(lambda: IMAGE not in _in_use(clean), "no container has it any more")
    finally:
        clean.client.delete("secrets", "word", NAMESPACE)
        clean.podman("rmi", "--force", IMAGE)


def _in_use(node: Node) -> str:
    return node.podman("ps", "--all", "--format", "{{.Image}}")
