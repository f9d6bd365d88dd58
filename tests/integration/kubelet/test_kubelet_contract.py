"""What the original's own tests of nodes ask of a kubelet, as a table of pods on a real node."""

from __future__ import annotations

from collections.abc import Iterator

import pod_table
import pytest
from pod_case import Case
from podman_host import Node
from pods_ordered import ORDERED
from pods_probed import PROBED
from pods_stored import STORED

pytestmark = pytest.mark.integration

CASES = PROBED + STORED + ORDERED


@pytest.fixture(scope="module")
def table(node: Node) -> Iterator[Node]:
    """The node with every pod of the table created."""
    with pod_table.created(node, CASES, "crun"):
        yield node


@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in CASES])
def test_pod(table: Node, case: Case) -> None:
    pod_table.check(table, case)
