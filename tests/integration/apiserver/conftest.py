"""An API server in this process, and an administrator's client of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from apiserver_in_process import Cluster, running

from api.client import Client


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """A server with its own objects made and a default service account in `default`."""
    with running() as made:
        yield made


@pytest.fixture
def client(cluster: Cluster) -> Client:
    """An administrator's client."""
    return cluster.client()
