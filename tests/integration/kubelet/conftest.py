"""One node for all of the kubelet's integration tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from containerd_host import ContainerdNode, containerd_missing
from podman_host import Node, eventually, missing
from traces import NAMESPACE, traces

_NODES = {"podman": "node", "containerd": "containerd_node"}


@pytest.fixture(scope="session")
def node() -> Iterator[Node]:
    """A Ready node with its own control plane."""
    if missing():
        pytest.skip(f"a node with Podman {missing()}")
    yield from _running(Node())


@pytest.fixture(scope="session")
def containerd_node() -> Iterator[Node]:
    """Another one, whose kubelet works with containerd."""
    if containerd_missing():
        pytest.skip(f"a node with containerd {containerd_missing()}")
    yield from _running(ContainerdNode())


def _running(host: Node) -> Iterator[Node]:
    try:
        host.start_runtime()
        host.start_cluster()
        yield host
    finally:
        host.close()


@pytest.fixture(params=_NODES)
def clean_on(request: pytest.FixtureRequest) -> Iterator[Node]:
    """Either node, by its runtime, whose traces must be after the test what they were before."""
    yield from _cleaned(request.getfixturevalue(_NODES[request.param]))


@pytest.fixture
def clean(node: Node) -> Iterator[Node]:
    """The node, whose traces must be after the test what they were before."""
    yield from _cleaned(node)


def _cleaned(node: Node) -> Iterator[Node]:
    eventually(lambda: not node.client.list("pods").items, "no pods are left")
    eventually(lambda: traces(node).directories == 0, "no pod's directory is left")
    before = traces(node)
    yield node
    for pod in node.client.list("pods", NAMESPACE).items:
        node.client.delete("pods", pod["metadata"]["name"], NAMESPACE, grace_period_seconds=1)
    eventually(lambda: not node.client.list("pods", NAMESPACE).items, "the pods are gone", 60)
    eventually(lambda: traces(node) == before, f"nothing but {before} is left", 60)
