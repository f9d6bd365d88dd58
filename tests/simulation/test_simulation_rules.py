"""Every rule holds over hundreds of seeds of all scenarios."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from simulation.rules import RULES
from simulation.running import SEEDS, Simulation
from simulation.scenarios import SCENARIOS

pytestmark = pytest.mark.simulation


@pytest.mark.timeout(900)
def test_every_rule_holds_over_hundreds_of_seeds_of_all_scenarios(all_seeds: Callable[[], Simulation]) -> None:
    assert len(SCENARIOS) >= 12
    done = all_seeds().finish(840)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert f"{SEEDS} seeds played, 0 failed" in done.stdout
    rows = {line[2:64].strip(): line.split() for line in done.stdout.splitlines() if " held " in line}
    for rule in RULES:
        row = rows[rule]
        assert int(row[row.index("held") + 1]) > 0, f"no scenario exercises {rule!r}"
