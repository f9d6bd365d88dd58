"""Runs one playbook by ansible-playbook and by Wherry, and tells what each did in the same words."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
CORPUS = HERE / "corpus"
ANSIBLE = Path(sys.executable).parent / "ansible-playbook"
WHERRY = Path(sys.executable).parent / "wherry"
INCLUDES = ("include_tasks", "include_role", "meta")


@dataclass
class Seen:
    """What one engine did: exit status, counts by host, results by host in order, and all that it printed."""

    status: int
    counts: dict[str, dict[str, int]]
    tasks: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    output: str = ""


def ansible(
    playbook: Path, inventory: Path, scratch: Path, words: Sequence[str] = (), before: Sequence[str | Path] = ()
) -> Seen:
    """What ansible-playbook does; `before` are words of a command that runs another."""
    record = scratch / "record.jsonl"
    environment = {
        **_environment(scratch / "ansible-crontabs"),
        "ANSIBLE_CALLBACK_PLUGINS": str(HERE / "callback_plugins"),
        "ANSIBLE_CALLBACKS_ENABLED": "record_results",
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_HOME": str(scratch / "ansible-home"),
        "ANSIBLE_LOCAL_TEMP": str(scratch / "ansible-local"),
        "ANSIBLE_REMOTE_TEMP": str(scratch / "ansible-remote"),
        "ANSIBLE_PIPELINING": "1",
        "ANSIBLE_RETRY_FILES_ENABLED": "0",
        "RECORD_RESULTS": str(record),
    }
    done = _run([*before, ANSIBLE, playbook, "-i", inventory, *words], environment)
    lines = [json.loads(line) for line in record.read_text().splitlines()] if record.exists() else []
    counts = next((line["recap"] for line in lines if "recap" in line), {})
    return Seen(done.returncode, counts, _by_host(line for line in lines if "host" in line), done.stdout)


def wherry(
    playbook: Path, inventory: Path, scratch: Path, words: Sequence[str] = (), before: Sequence[str | Path] = ()
) -> Seen:
    """What `wherry playbook` does."""
    command = [*before, WHERRY, "playbook", playbook, "-i", inventory, "--json", *words]
    done = _run(command, _environment(scratch / "wherry-crontabs"))
    events = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    counts = next((event["hosts"] for event in events if event["event"] == "recap"), {})
    return Seen(done.returncode, counts, _by_host(e for e in events if e["event"] == "result"), done.stdout)


def _environment(crontabs: Path) -> dict[str, str]:
    """With programs that the machine of the test may lack, or whose tables it should keep."""
    crontabs.mkdir(exist_ok=True)
    return {**os.environ, "PATH": f"{HERE / 'programs'}:{os.environ['PATH']}", "CRONTABS": str(crontabs)}


def _run(command: Sequence[str | Path], environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        list(map(str, command)), env=environment, cwd=CORPUS, check=False, text=True, timeout=240,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


def _by_host(results: Any) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for line in results:
        if line["action"] not in INCLUDES:
            status = "failed" if line["status"] == "rescued" else line["status"]
            found.setdefault(line["host"], []).append({**line, "status": status})
    return found
