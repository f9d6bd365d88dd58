"""What users see of pods on a real node: a table of pods, and for each what must come true.

All pods of the table are created at once, so that they also run beside each other.
"""

from __future__ import annotations

from collections.abc import Iterator

import pod_table
import pytest
from pod_case import Case
from podman_host import Node
from pods_content import ENVIRONMENT, VOLUMES
from pods_life import LIFE, PROBES
from pods_security import SECURITY

pytestmark = pytest.mark.integration

CASES = LIFE + ENVIRONMENT + VOLUMES + SECURITY + PROBES


@pytest.fixture(scope="module")
def table(node: Node) -> Iterator[Node]:
    """The node with every pod of the table created."""
    with pod_table.created(node, CASES, "crun"):
        yield node


@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in CASES])
def test_pod(table: Node, case: Case) -> None:
    pod_table.check(table, case)
