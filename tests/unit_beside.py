"""Plays the unit tests in a process of their own beside the other tests, which wait more than they work.

A plugin of pytest's: the other process writes its reports into a file, and this one reports them in their places.

Invariant: each unit test is reported once. If the other process ends without having told of one, that one and all after
it are played here.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, TextIO

import pytest

TESTS = Path(__file__).parent
UNIT = TESTS / "unit"
# Where the other process writes its reports.
_FILE = "WHERRY_UNIT_TEST_REPORTS"
# After the other tests, and before the simulation, which takes longer than they do.
_NICE = "10"
# With fewer other tests there is little to play beside.
_MANY_TESTS = 500
_BESIDE = pytest.StashKey["_Beside"]()


class _Writer:
    """Writes each report as a line."""

    def __init__(self, config: pytest.Config, file: TextIO) -> None:
        self._config = config
        self._file = file

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        data = self._config.hook.pytest_report_to_serializable(config=self._config, report=report)
        self._file.write(json.dumps(data, default=str) + "\n")


class _Beside:
    """The other process and what it has reported."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._broken = False
        self._half = ""
        self._reports: dict[str, list[Any]] = {}
        descriptor, self._path = tempfile.mkstemp(prefix="wherry-unit-tests-")
        self._file = open(descriptor, encoding="utf-8")  # noqa: SIM115 - open while tests run
        words = ("-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "not vagrant", str(UNIT))
        self._process = subprocess.Popen(
            ["nice", "-n", _NICE, sys.executable, *words],
            cwd=TESTS.parent,
            env={**os.environ, _FILE: self._path, "PYTEST_ADDOPTS": ""},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def reports(self, test: str) -> list[Any]:
        """All reports of a test, once it has been played; none if it will not be."""
        while not self._broken and not self._is_whole(test):
            over = self._process.poll() is not None
            self._read()
            self._broken = over and not self._is_whole(test)
            time.sleep(0 if over or self._is_whole(test) else 0.05)
        return [] if self._broken else self._reports.pop(test)

    def _is_whole(self, test: str) -> bool:
        return any(report.when == "teardown" for report in self._reports.get(test, ()))

    def _read(self) -> None:
        *whole, self._half = (self._half + self._file.read()).split("\n")
        for line in whole:
            report = self._config.hook.pytest_report_from_serializable(config=self._config, data=json.loads(line))
            if isinstance(report.longrepr, list):
                # JSON knows no tuples, and where a test was skipped pytest wants one.
                report.longrepr = tuple(report.longrepr)
            self._reports.setdefault(report.nodeid, []).append(report)

    def end(self) -> None:
        """Leave neither process nor file."""
        self._process.terminate()
        self._process.wait(60)
        self._file.close()
        Path(self._path).unlink()


def pytest_configure(config: pytest.Config) -> None:
    """In the other process: write the reports."""
    if path := os.environ.get(_FILE):
        config.pluginmanager.register(_Writer(config, open(path, "a", encoding="utf-8", buffering=1)))  # noqa: SIM115


def pytest_collection_finish(session: pytest.Session) -> None:
    """Begin, if there are unit tests and many others before them."""
    unit = sum(UNIT in item.path.parents for item in session.items)
    if unit and len(session.items) - unit >= _MANY_TESTS and not session.config.option.collectonly:
        session.config.stash[_BESIDE] = _Beside(session.config)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
    """Report what the other process saw; the last test is played here, since what all share ends with it."""
    beside = item.config.stash.get(_BESIDE, None)
    if beside is None or nextitem is None or UNIT not in item.path.parents:
        return None
    found = beside.reports(item.nodeid)
    if not found:
        return None
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    for report in found:
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Leave nothing that runs."""
    if (beside := session.config.stash.get(_BESIDE, None)) is not None:
        beside.end()
