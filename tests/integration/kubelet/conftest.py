"""One node for all of the kubelet's integration tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from podman_host import NODE, Node, eventually, missing

from api.objects import is_true


@pytest.fixture(scope="session")
def node() -> Iterator[Node]:
    """A Ready node with its own control plane."""
    if missing():
        pytest.skip(f"a node with Podman {missing()}")
    host = Node()
    try:
        host.start_podman()
        host.load_images()
        host.start_control_plane()
        host.start_kubelet()
        eventually(lambda: _is_ready(host), "the node is Ready")
        eventually(lambda: "server listens" in host.log("kubelet"), "the kubelet serves")
        yield host
    finally:
        host.close()


def _is_ready(host: Node) -> bool:
    found = host.client.list("nodes").items
    return len(found) == 1 and found[0]["metadata"]["name"] == NODE and is_true(found[0], "Ready")
