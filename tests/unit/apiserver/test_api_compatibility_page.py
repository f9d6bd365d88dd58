"""docs/api-compatibility.md says what is served now, and names tests that exist."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

pytestmark = pytest.mark.unit

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def maker() -> ModuleType:
    """The script that makes the page."""
    spec = importlib.util.spec_from_file_location("make_api_compatibility", ROOT / "docs" / "make_api_compatibility.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_what_the_script_makes(maker: ModuleType) -> None:
    assert maker.TARGET.read_text() == maker.render(), "run `make docs`"


def test_every_behaviour_that_works_is_shown_by_a_test(maker: ModuleType) -> None:
    for found in maker.behaviours().values():
        for behaviour in found:
            if behaviour.state != maker.MISSING:
                assert (ROOT / behaviour.shown_by).is_file(), behaviour
