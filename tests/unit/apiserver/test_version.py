"""What /version tells of the server."""

from __future__ import annotations

import re

import pytest

from control.apiserver import version

pytestmark = pytest.mark.unit


def test_it_has_the_forms_that_clients_look_for() -> None:
    found = version.info()
    assert re.fullmatch(r"v\d+\.\d+\.\d+\+wherry", found["gitVersion"])
    assert found["gitVersion"].startswith(f"v{found['major']}.{found['minor']}.")
    assert re.fullmatch("[0-9a-f]{40}", found["gitCommit"])
    assert version.info() == found


def test_it_behaves_as_its_own_version_and_may_be_taken_back_by_one() -> None:
    found = version.info()
    assert (found["emulationMajor"], found["emulationMinor"]) == (found["major"], found["minor"])
    assert found["minCompatibilityMajor"] == found["major"]
    assert int(found["minCompatibilityMinor"]) == int(found["minor"]) - 1
