"""Runs the simulator as a person does, in a process of its own, for the tests of it.

Invariant: what a test sees is what the printed command shows when it is typed in.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]


def simulate(*arguments: str, seconds: float = 600.0) -> subprocess.CompletedProcess[str]:
    """`python -m simulation ARGUMENTS`, ended after `seconds`."""
    return subprocess.run(
        [sys.executable, "-m", "simulation", *arguments],
        cwd=TESTS,
        env={**os.environ, "PYTHONPATH": str(TESTS)},
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
