"""What upgrade.yml and add-node.yml do in which order, and where they stop: roles and the command are stand-ins."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from playbook_runs import Record

from playbooks.engine.result import Options, Result
from playbooks.engine.run import run_playbook

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]

PARTING = Path("tasks") / "part-proxies-from-nodes.yml"
PLAYBOOKS = Path(__file__).parents[3] / "playbooks"
ROLES = {
    "preflight": ("main",),
    "release": ("main", "identity", "choose"),
    "packages": ("main",),
    "control": ("main", "join"),
    "images": ("main",),
    "node": ("main",),
}
# Says what it was asked on the journal; fails if that line is the one that is to fail.
SAY = "echo '{line}' >> {journal}; ! grep -qx '{line}' {broken}"
Upgrade = Callable[..., tuple[Result, list[str]]]


@pytest.fixture
def upgrade(tmp_path: Path) -> Upgrade:
    """Runs a playbook with the named line failing; what was done, in order."""
    journal, broken = tmp_path / "journal", tmp_path / "broken"
    for role, files in ROLES.items():
        for file in files:
            path = tmp_path / "roles" / role / "tasks" / f"{file}.yml"
            path.parent.mkdir(parents=True, exist_ok=True)
            line = f"{{{{ inventory_hostname }}}} {role}" + ("" if file == "main" else f" {file}")
            tasks = [{"name": line, "shell": SAY.format(line=line, journal=journal, broken=broken)}]
            if file == "choose":
                tasks.append({"set_fact": {"release": {"hash": "new"}}})
            path.write_text(yaml.safe_dump(tasks))
    program = tmp_path / "wherry"
    program.write_text(f'#!/bin/sh\nline="$2 $3"; echo "$line" >> {journal}; ! grep -qx "$line" {broken}\n')
    program.chmod(0o755)
    for name in ("upgrade.yml", "add-node.yml"):
        text = (PLAYBOOKS / name).read_text().replace("/usr/local/bin/wherry", str(program))
        text = text.replace("/opt/wherry/current", str(tmp_path / "current-{{ inventory_hostname }}"))
        (tmp_path / name).write_text(text)
    (parting,) = yaml.safe_load((PLAYBOOKS / PARTING).read_text())
    del parting["ansible.builtin.uri"], parting["changed_when"]
    parting["shell"] = SAY.format(line="part", journal=journal, broken=broken)
    (tmp_path / "tasks").mkdir()
    (tmp_path / PARTING).write_text(yaml.safe_dump([parting]))
    hosts = {"ansible_connection": "local", "ansible_python_interpreter": "/usr/bin/python3", "ansible_become": False}
    groups = {"control": {"hosts": {"cp": {}}}, "workers": {"hosts": {"one": {}, "two": {}, "three": {}}}}
    (tmp_path / "hosts.yml").write_text(yaml.safe_dump({"all": {"vars": hosts, "children": groups}}, sort_keys=False))

    def run(
        fails: str = "", current: str = "old", limit: str | None = None, playbook: str = "upgrade.yml", **given: str
    ) -> tuple[Result, list[str]]:
        broken.write_text(f"{fails}\n")
        journal.write_text("")
        for host in ("cp", *groups["workers"]["hosts"]):
            link = tmp_path / f"current-{host}"
            link.unlink(missing_ok=True)
            link.symlink_to(f"/opt/wherry/releases/{current}")
        options = Options(limit=limit, extra_variables=given)
        result = run_playbook(tmp_path / playbook, [tmp_path / "hosts.yml"], options, Record())
        return result, [line for line in journal.read_text().splitlines() if "preflight" not in line]

    return run


def _of_worker(name: str, *, drained: bool = True) -> list[str]:
    return [
        f"{name} release choose", *([f"drain {name}"] if drained else []), f"{name} release", f"{name} images",
        f"{name} node", f"wait {name}", f"uncordon {name}",
    ]  # fmt: skip


def test_the_control_plane_comes_first_and_then_the_workers_one_by_one(upgrade: Upgrade) -> None:
    result, done = upgrade()
    assert result.status == 0
    first = [line for line in done if "identity" not in line]
    workers = [line for name in ("one", "two", "three") for line in _of_worker(name)]
    assert first == ["cp release", "cp control", *workers, "part"]
    assert sorted(done[:4]) == sorted(f"{name} release identity" for name in ("cp", "one", "two", "three"))


def test_a_worker_that_runs_the_release_already_is_not_drained(upgrade: Upgrade) -> None:
    _, done = upgrade(current="new")
    assert done[6:-1] == [line for name in ("one", "two", "three") for line in _of_worker(name, drained=False)]


def test_nodes_keep_what_proxies_of_older_releases_need_while_one_is_left_out(upgrade: Upgrade) -> None:
    result, done = upgrade(limit="cp,one,two")
    assert result.status == 0
    assert done[-1] == "uncordon two"


STOPS = {
    "a host that cannot be asked": ("two release identity", []),
    "the control plane": ("cp control", ["cp release", "cp control"]),
    "a drain that a budget holds back": ("drain one", ["cp release", "cp control", *_of_worker("one")[:2]]),
    "a worker that does not become Ready": (
        "wait two", ["cp release", "cp control", *_of_worker("one"), *_of_worker("two")[:-1]],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("fails", "done"), STOPS.values(), ids=STOPS)
def test_the_first_failure_stops_everything(fails: str, done: list[str], upgrade: Upgrade) -> None:
    result, seen = upgrade(fails)
    assert result.status == 2
    assert [line for line in seen if "identity" not in line] == done


def test_no_node_is_added_that_runs_another_release_than_the_control_plane(upgrade: Upgrade) -> None:
    result, done = upgrade(playbook="add-node.yml", nodes="two")
    assert result.status == 2 and "wherry upgrade" in str(result.failures[0])
    assert "two release" not in done, done
    result, done = upgrade(playbook="add-node.yml", nodes="two", current="new")
    assert result.status == 0 and done[-3:] == ["cp control join", "two images", "two node"], done
