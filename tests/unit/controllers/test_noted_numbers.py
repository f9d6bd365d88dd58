"""Numbers that controllers note in annotations, and that anybody may have changed."""

from __future__ import annotations

import pytest

from control.controllers import job_pods, pods
from control.controllers.deployment import history

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("text", "cost"), [("7", 7), ("-7", -7), ("0", 0), ("", 0), ("²", 0), ("+-7", 0), ("9" * 5000, 0)]
)
def test_what_is_no_number_costs_nothing(text: str, cost: int) -> None:
    noted = {"metadata": {"annotations": {pods.DELETION_COST: text}}}
    assert pods.deletion_cost(noted) == cost


@pytest.mark.parametrize(("text", "number"), [("7", 7), ("", 0), ("²", 0), ("-7", 0)])
def test_what_is_no_number_is_no_revision_and_no_index(text: str, number: int) -> None:
    assert history.revision({"metadata": {"annotations": {history.REVISION: text}}}) == number
    assert (job_pods.index_of({"metadata": {"annotations": {job_pods.INDEX: text}}}) or 0) == number
