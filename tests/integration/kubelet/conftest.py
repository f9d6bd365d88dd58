"""One node for all of the kubelet's integration tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from podman_host import Node, missing


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
