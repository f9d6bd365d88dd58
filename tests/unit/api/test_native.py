"""What blocks in the kernel does not hold up the other tasks of a process whose tasks share one thread."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.unit

TICKS = """
import gevent.monkey
gevent.monkey.patch_all()
import time
import gevent
from api.native import elsewhere
ticks, blocked = [], gevent.monkey.get_original("time", "sleep")
def tick():
    while True:
        ticks.append(time.monotonic())
        time.sleep(0.01)
gevent.spawn(tick)
assert elsewhere(lambda: blocked(0.5) or "done") == "done"
print(len(ticks))
"""


def test_other_tasks_go_on_while_one_blocks() -> None:
    root = Path(__file__).resolve().parents[3]
    done = subprocess.run([sys.executable, "-c", TICKS], capture_output=True, text=True, cwd=root, timeout=60)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 3
