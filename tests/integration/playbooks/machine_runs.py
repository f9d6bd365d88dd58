"""Plays that change a whole machine, each on a copy of this one; what ansible-core did there is on record.

Its modules take a second each, so the plays could not be broad if Ansible ran with every test. To record anew:
`python tests/integration/playbooks/machine_runs.py [NAME...]`, as root, with python3-apt, python3-debian and
python3-pexpect installed.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import twin_engines
from comparison import told, tree
from twin_engines import CORPUS, HERE, Seen

PLAYS = HERE / "machine"
RECORDED = PLAYS / "recorded"
INVENTORY = CORPUS / "inventory.yml"
# Of failures: the words of tools and of Wherry, the command in the form that each engine runs it in.
_OF_FAILURES = frozenset(
    ("msg", "cmd", "rc", "stdout", "stderr", "stdout_lines", "stderr_lines", "details", "cache_updated")
)
# What tools write to say what they did, and when.
_WORDS = {
    "packages": ("stdout", "stderr", "stdout_lines", "stderr_lines", "cache_update_time", "msg"),
    "python-packages": ("stdout", "stderr", "stdout_lines", "stderr_lines", "cmd"),
    "sources": ("stderr", "stderr_lines"),
    "users": ("ssh_fingerprint", "ssh_public_key", "name"),
}


def before(scratch: Path) -> list[str | Path]:
    """The words that run a command on a copy of this machine."""
    place = scratch / "machine"
    place.mkdir()
    return ["unshare", "--mount", "--net", "--propagation", "private", "sh", HERE / "own_machine.sh", place]


def summary(name: str, seen: Seen, root: Path) -> dict[str, Any]:
    """What a run came to, in a form that can be kept."""
    tasks = told(seen, root, _OF_FAILURES)
    found = {"status": seen.status, "counts": seen.counts, "tasks": tasks, "tree": tree(root)}
    text = json.dumps(_without(found, _WORDS.get(name, ()))).replace(str(PLAYS), "PLAYBOOK_DIR")
    kept: dict[str, Any] = json.loads(text)
    return kept


def _without(value: Any, names: tuple[str, ...]) -> Any:
    if isinstance(value, dict):
        return {key: _without(item, names) for key, item in value.items() if key not in names}
    return [_without(item, names) for item in value] if isinstance(value, list) else value


def main(names: list[str]) -> None:
    """Record what ansible-core does."""
    for name in names or sorted(path.stem for path in PLAYS.glob("*.yml")):
        with tempfile.TemporaryDirectory() as directory:
            scratch = Path(directory)
            root = scratch / "root"
            (root / "one").mkdir(parents=True)
            words = ("-e", f"root={root}")
            seen = twin_engines.ansible(PLAYS / f"{name}.yml", INVENTORY, scratch, words, before(scratch))
            if not seen.counts:
                sys.exit(f"{name}: {seen.output[-3000:]}")
            text = json.dumps(summary(name, seen, root), indent=1, sort_keys=True, ensure_ascii=False)
            (RECORDED / f"{name}.json").write_text(text + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
