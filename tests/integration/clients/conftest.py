"""One cluster for all the clients' tests; each test works in a namespace of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from client_cluster import ClientCluster, Program
from lifecycles import Room


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClientCluster]:
    """The control plane and two hollow nodes."""
    made = ClientCluster(tmp_path_factory.mktemp("cluster"))
    yield made
    made.close()


@pytest.fixture
def namespace(cluster: ClientCluster, request: pytest.FixtureRequest) -> str:
    """A new namespace, named for the test."""
    words = "".join(letter if letter.isalnum() else "-" for letter in request.node.name.lower().removeprefix("test_"))
    return cluster.namespace(words[-50:].strip("-"))


@pytest.fixture
def room(cluster: ClientCluster, namespace: str) -> Iterator[Room]:
    """The test's namespace; what the test leaves in it makes room for the next one."""
    made = Room(cluster, namespace)
    yield made
    made.clear()


@pytest.fixture(params=["newest", "oldest"])
def kubectl_here(
    request: pytest.FixtureRequest,
    cluster: ClientCluster,
    namespace: str,
    kubectls: dict[str, Path],
    tmp_path: Path,
) -> Program:
    """Each of the two kubectls in the test's namespace."""
    return Program(kubectls[request.param], cluster, namespace, tmp_path)


@pytest.fixture
def newest(cluster: ClientCluster, namespace: str, kubectls: dict[str, Path], tmp_path: Path) -> Program:
    """The newest kubectl in the test's namespace."""
    return Program(kubectls["newest"], cluster, namespace, tmp_path)


@pytest.fixture(params=["newest", "oldest"])
def helm_here(
    request: pytest.FixtureRequest, cluster: ClientCluster, namespace: str, helms: dict[str, Path], tmp_path: Path
) -> Program:
    """Each of the two helms in the test's namespace."""
    return Program(helms[request.param], cluster, namespace, tmp_path)
