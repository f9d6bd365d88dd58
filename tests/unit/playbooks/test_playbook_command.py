"""What `wherry playbook` shows and keeps: levels of -v, --timing, --json, --log, its exit status."""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path
from typing import Any

import pytest

from playbooks import command

pytestmark = pytest.mark.unit

PLAY = """
- name: A play
  hosts: all
  gather_facts: false
  tasks:
    - {name: say, debug: {msg: hello}}
    - {name: keep, set_fact: {kept: "{{ inventory_hostname }}"}}
    - {name: not here, debug: {msg: no}, when: inventory_hostname == 'one' and 1 > 2}
    - {name: loop, debug: {msg: "turn {{ item }}"}, loop: [1, 2], when: item != 2}
    - {name: secret, set_fact: {word: hunter2}, no_log: true}
    - {name: tried, debug: {msg: x}, until: false, retries: 1, delay: 0, ignore_errors: true}
    - {name: slow, pause: {seconds: 0}, changed_when: true}
    - {name: breaks, fail: {msg: broken}, when: inventory_hostname == 'two'}
"""


@pytest.fixture
def playbook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A playbook that needs no host, in a directory without ansible.cfg."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ANSIBLE_CONFIG", raising=False)
    path = tmp_path / "site.yml"
    path.write_text(PLAY)
    return path


def _run(playbook: Path, *words: str) -> int:
    parser = argparse.ArgumentParser()
    command.configure(parser)
    return command.run(parser.parse_args([str(playbook), "-i", "one,two,", *words]))


def _events(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


SHOWN = {
    "plain": ((), ["ok: [one]", '"msg": "hello"'], ['"kept"', "skipped: [one] => (item=2)", "site.yml:6)"]),
    "-v": (("-v",), ['    {"msg": "hello"', '"ansible_facts": {"kept": "one"}', "(item=2)"], ["site.yml:6)"]),
    "-vv": (("-vv",), ["TASK [say]", "site.yml:6)", '        "msg": "hello"', '            "kept": "one"'], []),
    "-vvv": (("-vvv",), ['        "msg": "hello"'], []),
}


@pytest.mark.parametrize(("words", "there", "absent"), SHOWN.values(), ids=SHOWN)
def test_each_v_shows_more(
    playbook: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], there: list[str], absent: list[str]
) -> None:
    assert _run(playbook, *words) == 2
    said = capsys.readouterr().out
    assert [text for text in there if text not in said] == [], said
    assert [text for text in absent if text in said] == [], said
    assert "hunter2" not in said


def test_the_profile_tells_the_slowest_first_and_the_whole(playbook: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _run(playbook, "--timing")
    said = capsys.readouterr().out
    rows = re.findall(r"^ +(\d+\.\d\d)s  (.+)$", said.partition("PLAY RECAP")[2], re.MULTILINE)
    seconds, titles = [float(row[0]) for row in rows[:-1]], [row[1] for row in rows]
    assert seconds == sorted(seconds, reverse=True)
    assert set(titles[:-1]) == {"say", "keep", "not here", "loop", "secret", "tried", "slow", "breaks"}
    assert titles[-1] == "in all"


def test_without_asking_there_is_no_profile(playbook: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _run(playbook)
    assert "in all" not in capsys.readouterr().out


def test_json_is_one_event_a_line(playbook: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status = _run(playbook, "--json")
    events = _events(capsys.readouterr().out)
    assert {event["event"] for event in events} == {"play", "task", "item", "result", "retry", "recap"}
    assert events[0]["name"] == "A play" and events[0]["hosts"] == ["one", "two"]
    results = {(e["name"], e["host"]): e for e in events if e["event"] == "result"}
    assert results["say", "one"]["result"]["msg"] == "hello"
    assert results["say", "one"]["where"].endswith("site.yml:6") and results["say", "one"]["action"] == "debug"
    assert results["not here", "one"]["status"] == "skipped"
    assert results["tried", "one"]["status"] == "ignored"
    assert results["secret", "one"]["result"] == {}
    assert results["breaks", "two"]["status"] == "failed"
    items = [(e["label"], e["status"]) for e in events if e["event"] == "item" and e["host"] == "one"]
    assert items == [("1", "ok"), ("2", "skipped")]
    recap = events[-1]
    assert (recap["status"], status) == (2, 2)
    assert recap["hosts"]["two"]["failed"] == 1 and recap["hosts"]["one"]["failed"] == 0
    assert [(lost["host"], lost["task"], lost["message"]) for lost in recap["failures"]] == [
        ("two", "breaks", "broken")
    ]
    times = [event["time"] for event in events]
    assert times == sorted(times)


def test_a_log_grows_by_the_events_of_each_run_beside_what_is_shown(
    playbook: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "run.log"
    _run(playbook, "--log", str(log))
    first = _events(log.read_text())
    assert "TASK [say]" in capsys.readouterr().out
    assert first[-1]["event"] == "recap"
    assert "hunter2" not in log.read_text()
    _run(playbook, "--log", str(log), "--json")
    both = _events(log.read_text())
    shown = _events(capsys.readouterr().out)
    assert both[: len(first)] == first
    assert [event["event"] for event in both[len(first) :]] == [event["event"] for event in shown]


def test_the_log_of_an_ansible_cfg_is_kept(playbook: Path, tmp_path: Path) -> None:
    (tmp_path / "ansible.cfg").write_text("[defaults]\nlog_path = kept.log\n")
    _run(playbook)
    assert _events((tmp_path / "kept.log").read_text())[-1]["event"] == "recap"


def test_a_log_that_cannot_be_written_is_said_before_anything_runs(
    playbook: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _run(playbook, "--log", "/nowhere/at/all.log") == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == "wherry playbook: the log /nowhere/at/all.log: No such file or directory\n"


def test_a_notification_that_means_no_handler_ends_the_run(playbook: Path, capsys: pytest.CaptureFixture[str]) -> None:
    playbook.write_text(
        "- hosts: all\n  gather_facts: false\n  tasks:\n"
        "    - {name: notifies, debug: {msg: x}, changed_when: true, notify: nobody}\n"
        "    - {name: after it, debug: {msg: x}}\n"
    )
    assert _run(playbook) == 1
    said = capsys.readouterr()
    assert "after it" not in said.out
    assert re.search(r"site.yml:4: The requested handler 'nobody' was not found in either the main", said.err)


@pytest.mark.parametrize(("words", "shown"), [((), ["two"]), (("--diff",), ["one", "two"])])
def test_what_changes_is_shown_where_it_is_asked_for(
    words: tuple[str, ...], shown: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tasks = f"""
    - file: {{path: {tmp_path}/one, state: directory}}
    - file: {{path: {tmp_path}/two, state: directory}}
      diff: true
"""
    play = tmp_path / "site.yml"
    play.write_text(f"- hosts: all\n  connection: local\n  gather_facts: false\n  tasks:{tasks}")
    parser = argparse.ArgumentParser()
    command.configure(parser)
    assert command.run(parser.parse_args([str(play), "-i", "one,", *words])) == 0
    assert re.findall(r'"path": ".*/(\w+)"', capsys.readouterr().out) == shown
