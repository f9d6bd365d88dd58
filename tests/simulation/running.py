"""Runs the simulator as a person does, in a process of its own, for the tests of it.

Invariant: what a test sees is what the printed command shows when it is typed in. A simulation that was begun is waited
for or ended.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO

TESTS = Path(__file__).resolve().parents[1]
# How many the suite plays, over all scenarios.
SEEDS = 312
_LEAST = 19


@dataclass
class Simulation:
    """One that was begun."""

    process: subprocess.Popen[str]
    out: IO[str]
    err: IO[str]

    def finish(self, seconds: float) -> subprocess.CompletedProcess[str]:
        """What it came to. Ends it after `seconds` more, with subprocess.TimeoutExpired."""
        try:
            status = self.process.wait(seconds)
        finally:
            self.end()
        texts = []
        for file in (self.out, self.err):
            file.seek(0)
            texts.append(file.read())
        return subprocess.CompletedProcess(self.process.args, status, *texts)

    def end(self) -> None:
        """End it with all its processes, if it is not over."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGTERM)
            self.process.wait(30)


def begin(*arguments: str, beside: bool = False) -> Simulation:
    """`python -m simulation ARGUMENTS`; `beside` others it takes only the time that they leave."""
    out, err = (tempfile.TemporaryFile("w+", encoding="utf-8") for _ in range(2))  # noqa: SIM115 - open while it runs
    process = subprocess.Popen(
        ["nice", "-n", str(_LEAST if beside else 0), sys.executable, "-m", "simulation", *arguments],
        cwd=TESTS,
        env={**os.environ, "PYTHONPATH": str(TESTS)},
        stdin=subprocess.DEVNULL,
        stdout=out,
        stderr=err,
        text=True,
        start_new_session=True,
    )
    return Simulation(process, out, err)


def simulate(*arguments: str, seconds: float = 600.0) -> subprocess.CompletedProcess[str]:
    """`python -m simulation ARGUMENTS`, ended after `seconds`."""
    return begin(*arguments).finish(seconds)
