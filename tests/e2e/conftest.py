"""One lab for the whole session, brought up by one command and taken down whatever happens."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from labs import Lab, eventually

GRACE_SECONDS = 12
WORKERS = ("node1", "node2", "node3")


@pytest.fixture(scope="session", autouse=True)
def root() -> None:
    """Lab hosts are namespaces and mounts, which only root makes."""
    if os.geteuid() != 0:
        pytest.skip("lab hosts need root; run `make test`, or this under sudo")


@pytest.fixture(scope="session")
def lab(kubectl: Path) -> Iterator[Lab]:
    """A control host, three workers, the cluster and the demo; nodes count as lost after GRACE_SECONDS.

    A pressure that has ended is told for no longer than a few seconds more.
    """
    grace = f"control_node_monitor_grace_period={GRACE_SECONDS}"
    calm = "node_kubelet_options=--eviction-pressure-transition-period=20"
    made = Lab(f"test-{os.getpid()}", kubectl, ("-e", grace, "-e", "node_lease_duration=8", "-e", calm))
    try:
        made.first_words = made.lab("up", "--workers", str(len(WORKERS)), *made.settings).stdout
        yield made
    finally:
        made.lab("down", check=False)


@pytest.fixture
def steady(lab: Lab) -> Lab:
    """The lab once all nodes and all three replicas of the demo are there, whatever a test before did to them."""

    def whole() -> bool:
        ready = "{.items[*].status.conditions[?(@.type=='Ready')].status}"
        nodes = lab.kubectl("get", "nodes", "-o", f"jsonpath={ready}").split()
        return nodes == ["True"] * len(WORKERS) and len(lab.running_pods("app=demo")) == 3

    eventually(whole, 90, "all nodes and three replicas are Ready")
    return lab
