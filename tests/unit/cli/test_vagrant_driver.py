"""The Vagrant driver against programs of the test's own under the names `vagrant` and `ssh-keyscan`."""

from __future__ import annotations

from pathlib import Path

import pytest

from control.cli.errors import CommandError
from control.cli.lab import paths, vagrant
from control.cli.lab.driver import Host

pytestmark = pytest.mark.unit

HOSTS = [Host("control", "192.168.56.10", "control"), Host("node1", "192.168.56.11", "workers")]
VAGRANT = """#!/bin/sh
case "$1" in
status) for name in control node1; do echo "1,$name,state,running"; done ;;
ssh-config) printf 'Host %s\\n  HostName 127.0.0.1\\n  User vagrant\\n  Port 22\\n  IdentityFile /k\\n' "$2" ;;
esac
"""
KEYSCAN = """#!/bin/sh
echo scanned >> {count}
[ "$(wc -l < {count})" -gt {refusals} ] && echo '127.0.0.1 ssh-ed25519 AAAA'
exit 0
"""


def programs(directory: Path, monkeypatch: pytest.MonkeyPatch, refusals: int) -> Path:
    """Put both before all others; the file with a line for each scan."""
    count = directory / "scans"
    for name, text in (("vagrant", VAGRANT), ("ssh-keyscan", KEYSCAN.format(count=count, refusals=refusals))):
        (directory / name).write_text(text)
        (directory / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(directory), prepend=":")
    monkeypatch.setattr(vagrant, "_BETWEEN_SCANS_SECONDS", 0)
    return count


def test_a_machine_that_is_slow_to_show_its_host_key_is_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = programs(tmp_path, monkeypatch, refusals=3)
    where = paths.Paths("slow", tmp_path / "user", tmp_path / "system")
    where.user.mkdir()
    assert vagrant.VagrantDriver(where).up(HOSTS, lambda host, text: None) == []
    assert where.known_hosts.read_text().count("ssh-ed25519") == len(HOSTS)
    assert len(count.read_text().splitlines()) == 3 + len(HOSTS)


def test_a_machine_without_a_host_key_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    programs(tmp_path, monkeypatch, refusals=1000)
    where = paths.Paths("slow", tmp_path / "user", tmp_path / "system")
    where.user.mkdir()
    with pytest.raises(CommandError, match=r"control shows no SSH host key at 127\.0\.0\.1:22"):
        vagrant.VagrantDriver(where).up(HOSTS, lambda host, text: None)
