"""What users see of pods on a real node: a table of pods, and for each what must come true.

All pods of the table are created at once, so that they also run beside each other.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import pod_table
import pytest
from pod_case import NAMESPACE, Case, container
from podman_host import Node, eventually
from pods_content import ENVIRONMENT, SAID, VOLUMES
from pods_life import LIFE, PROBES
from pods_security import SECURITY

from api.objects import Object, uid_of

pytestmark = pytest.mark.integration

CASES = LIFE + SAID + ENVIRONMENT + VOLUMES + SECURITY + PROBES


@pytest.fixture(scope="module")
def table(node: Node) -> Iterator[Node]:
    """The node with every pod of the table created."""
    with pod_table.created(node, CASES, "crun"):
        yield node


@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in CASES])
def test_pod(table: Node, case: Case) -> None:
    pod_table.check(table, case)


def test_a_pod_whose_sandbox_cannot_be_made_is_tried_ever_more_seldom(table: Node) -> None:
    pod_table.check_that_tries_grow_rare(table, "sysctl-that-the-kernel-refuses", "FailedCreatePodSandBox")


def test_logs_lie_where_collectors_look_and_only_of_containers_that_are_there(table: Node) -> None:
    def crashed() -> Object:
        return table.client.get("pods", "crash-loops", NAMESPACE)

    eventually(lambda: container(crashed())["restartCount"] >= 2, "it has ended more than twice")
    attempt, uid = container(crashed())["restartCount"], uid_of(crashed())
    directory = table.directory / "log" / "pods" / f"{NAMESPACE}_crash-loops_{uid}" / "app"
    kept = [directory / f"{number}.log" for number in (attempt - 1, attempt)]
    assert sorted(directory.iterdir()) == kept
    assert re.fullmatch(r"[-0-9]{10}T[:.0-9]{18}\S+ stdout F said\n", kept[0].read_text())
    links = (table.directory / "log" / "containers").glob(f"crash-loops_{NAMESPACE}_app-*.log")
    assert sorted(link.readlink() for link in links) == kept
    path = f"/api/v1/namespaces/{NAMESPACE}/pods/crash-loops/log?previous=true"
    assert table.client.raw("GET", path) == b"said\n"
