"""One node for all of the kubelet's integration tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from podman_host import Node, eventually, missing
from traces import NAMESPACE, traces


@pytest.fixture(scope="session")
def node() -> Iterator[Node]:
    """A Ready node with its own control plane."""
    if missing():
        pytest.skip(f"a node with Podman {missing()}")
    host = Node()
    try:
        host.start_podman()
        host.load_images()
        host.start_cluster()
        yield host
    finally:
        host.close()


@pytest.fixture
def clean(node: Node) -> Iterator[Node]:
    """The node, whose traces must be after the test what they were before."""
    eventually(lambda: not node.client.list("pods").items, "no pods are left")
    eventually(lambda: traces(node).directories == 0, "no pod's directory is left")
    before = traces(node)
    yield node
    for pod in node.client.list("pods", NAMESPACE).items:
        node.client.delete("pods", pod["metadata"]["name"], NAMESPACE, grace_period_seconds=1)
    eventually(lambda: not node.client.list("pods", NAMESPACE).items, "the pods are gone", 60)
    eventually(lambda: traces(node) == before, f"nothing but {before} is left", 60)
