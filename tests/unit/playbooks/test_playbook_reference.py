"""The playbook reference says what the engine does."""

from __future__ import annotations

from pathlib import Path

import pytest

from playbooks.engine import reference

pytestmark = pytest.mark.unit

PAGE = Path(__file__).resolve().parents[3] / "docs" / "playbook-reference.md"


def test_the_page_is_what_the_engine_says_now() -> None:
    assert PAGE.read_text() == reference.text() + "\n", (
        "run: python -m playbooks.engine.reference > docs/playbook-reference.md"
    )
