"""Modules that change the machine itself do what ansible-core's do: packages, their sources and keys, the firewall.

What ansible-core did is on record: see machine_runs.py.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import machine_runs
import pytest
import twin_engines
from comparison import differences

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]

# What a machine must have for a play to say anything, as words of a shell.
PLAYS = {
    "conversations": "true",
    "firewall": "iptables -L && ip6tables -L",
    "packages": "command -v apt-get",
    "python-packages": "/usr/bin/python3 -c 'import ensurepip, pip'",
    "sources": "command -v apt-key && command -v gpg",
    "told": "command -v groupadd",
    "users": "command -v useradd && command -v chage",
}


@pytest.mark.parametrize(("name", "needed"), PLAYS.items(), ids=PLAYS)
def test_play(name: str, needed: str, tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("a copy of this machine needs root")
    if subprocess.run(["sh", "-c", f"{{ {needed}; }} >/dev/null 2>&1"], check=False).returncode != 0:
        pytest.skip(f"this machine has not what {needed!r} asks for")
    root = tmp_path / "root"
    (root / "one").mkdir(parents=True)
    words = ("-e", f"root={root}")
    play = machine_runs.PLAYS / f"{name}.yml"
    seen = twin_engines.wherry(play, machine_runs.INVENTORY, tmp_path, words, machine_runs.before(tmp_path))
    assert seen.counts, seen.output[-3000:]
    expected = json.loads((machine_runs.RECORDED / f"{name}.json").read_text())
    assert "\n".join(differences(expected, machine_runs.summary(name, seen, root))) == ""
