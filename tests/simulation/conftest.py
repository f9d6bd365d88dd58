"""Many seeds are played beside the rest of the suite: its tests wait more than they work, and a seed waits for nobody.

Invariant: time in a simulation is virtual, so what it finds does not depend on how little of a processor it gets.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from simulation.running import SEEDS, Simulation, begin

# With fewer tests there is little to play beside.
_MANY_TESTS = 500
_BEGUN = pytest.StashKey[Simulation]()


def pytest_collection_finish(session: pytest.Session) -> None:
    """Begin, if the seeds will be asked for and much comes before them."""
    asked = any("all_seeds" in getattr(item, "fixturenames", ()) for item in session.items)
    if asked and len(session.items) >= _MANY_TESTS and not session.config.option.collectonly:
        session.config.stash[_BEGUN] = begin("--seeds", str(SEEDS), beside=True)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Leave nothing that runs."""
    if (begun := session.config.stash.get(_BEGUN, None)) is not None:
        begun.end()


@pytest.fixture
def all_seeds(request: pytest.FixtureRequest) -> Callable[[], Simulation]:
    """The simulation of SEEDS seeds of all scenarios, under way since the suite began or begun now."""
    return lambda: request.config.stash.get(_BEGUN, None) or begin("--seeds", str(SEEDS))
