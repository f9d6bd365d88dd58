"""Whatever state a lab is in, taking it down leaves the machine as it was."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import machine
import pytest
from labs import ROOT, Lab, eventually

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

DIRECTORIES = (ROOT / ".lab", Path("/var/lib/wherry-lab"))


@pytest.fixture
def bare(kubectl: Path) -> Iterator[Lab]:
    """A lab of one worker, not brought up yet, and taken down at the end."""
    made = Lab(f"bare-{os.getpid()}", kubectl)
    yield made
    made.lab("down", check=False)


def untouched(lab: Lab) -> None:
    """Nothing happens to the lab."""


def kill_hosts(lab: Lab) -> None:
    """Every first process of a host dies at once."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and _is_init_of_a_lab(entry, lab):
            os.kill(int(entry.name), signal.SIGKILL)


def lose_state(lab: Lab) -> None:
    """The files by which the lab knows itself are gone."""
    for name in ("state.json", "inventory.yml", "ssh_config"):
        (lab.files / name).unlink()


def damage_state(lab: Lab) -> None:
    """The lab's state is no JSON."""
    (lab.files / "state.json").write_text("{")


def lose_forwarder_pid(lab: Lab) -> None:
    """The forwarder runs, and nothing says which process it is."""
    (Path("/var/lib/wherry-lab") / lab.name / "forwarder.pid").unlink()


@pytest.mark.parametrize("harm", [untouched, kill_hosts, lose_state, damage_state, lose_forwarder_pid])
def test_down_leaves_the_machine_as_it_was(harm: Callable[[Lab], None], bare: Lab) -> None:
    before = machine.look(*DIRECTORIES)
    bare.lab("up", "--workers", "1", "--hosts-only")
    assert machine.look(*DIRECTORIES).added_since(before), "a lab that changes nothing proves nothing"
    harm(bare)
    bare.lab("down")
    deadline = time.monotonic() + 30
    while left := machine.look(*DIRECTORIES).added_since(before):
        assert time.monotonic() < deadline, left
        time.sleep(0.3)


def test_down_without_a_lab_is_no_error(bare: Lab) -> None:
    assert "is down" in bare.lab("down").stdout


def test_up_again_repairs_a_lab_whose_hosts_died(bare: Lab) -> None:
    bare.lab("up", "--workers", "1", "--hosts-only")
    kill_hosts(bare)
    eventually(lambda: "off" in bare.lab("status", check=False).stdout, 20, "the hosts are off")
    bare.lab("up", "--workers", "1", "--hosts-only")
    assert bare.ssh("node1", "hostname").strip() == "node1"


def test_up_again_changes_nothing(bare: Lab) -> None:
    bare.lab("up", "--workers", "1", "--hosts-only")
    booted = bare.ssh("node1", "cat /proc/sys/kernel/random/boot_id; stat -c %Y /proc/1")
    again = bare.lab("up", "--workers", "1", "--hosts-only").stdout
    assert "nothing had to be changed" in again
    assert bare.ssh("node1", "cat /proc/sys/kernel/random/boot_id; stat -c %Y /proc/1") == booted


def test_two_labs_do_not_meet(bare: Lab) -> None:
    bare.lab("up", "--workers", "1", "--hosts-only")
    other = Lab(f"{bare.name}-b", bare.kubectl_program)
    try:
        other.lab("up", "--workers", "1", "--hosts-only")
        assert other.address("node1") != bare.address("node1")
    finally:
        other.lab("down")
    assert bare.ssh("node1", "hostname").strip() == "node1"


def _is_init_of_a_lab(entry: Path, lab: Lab) -> bool:
    try:
        groups = (entry / "cgroup").read_text()
        first = (entry / "status").read_text().partition("NSpid:")[2].splitlines()[0].split()
    except (OSError, IndexError):
        return False
    return f"/{lab.name}/" in groups.replace(".", "/") and len(first) > 1 and first[-1] == "1"
