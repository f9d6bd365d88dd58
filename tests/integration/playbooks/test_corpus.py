"""The same playbooks by ansible-core and by Wherry: the same results task by task, the same counts, the same files."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import twin_engines
from comparison import differences, told, tree
from twin_engines import CORPUS

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

CASES: dict[str, tuple[str, ...]] = {
    "async": (),
    "batches": (),
    "cron": (),
    "delegation": (),
    "errors": (),
    "evaluation": (),
    "expressions": (),
    "files": (),
    "filters": (),
    "finding": (),
    "forced": ("--force-handlers",),
    "git": (),
    "handlers": (),
    "includes": (),
    "judging": (),
    "language": (),
    "loops": (),
    "lost": (),
    "plays": (),
    "precedence": ("-e", "from_extra=extra"),
    "rescued": (),
    "results": (),
    "roles": (),
    "steering": (),
    "templating": (),
    "variables": (
        *("--vault-password-file", "vault-password"),
        *("-e", "winner=extra", "-e", '{"structured":{"list":[1,2]}}'),
    ),
}
TAGS: dict[str, tuple[str, ...]] = {
    "all": (),
    "one tag": ("--tags", "red"),
    "two tags": ("--tags", "blue,green"),
    "a skipped tag": ("--skip-tags", "skipme,red"),
    "tagged": ("--tags", "tagged"),
    "untagged": ("--tags", "untagged"),
}


@pytest.mark.parametrize(("name", "words"), CASES.items(), ids=CASES)
def test_playbook(name: str, words: tuple[str, ...], tmp_path: Path) -> None:
    _compare(name, words, tmp_path)


@pytest.mark.parametrize("words", TAGS.values(), ids=TAGS)
def test_tags(words: tuple[str, ...], tmp_path: Path) -> None:
    _compare("tagged", words, tmp_path)


def test_check_mode(tmp_path: Path) -> None:
    """What would change is the same; how a change that was not made is described is not."""
    _compare("files", ("--check", "--diff"), tmp_path, results=False)


def _compare(name: str, words: tuple[str, ...], scratch: Path, *, results: bool = True) -> None:
    roots = {engine: scratch / engine / "root" for engine in ("ansible", "wherry")}
    for root in roots.values():
        for host in ("one", "two", "three"):
            (root / host).mkdir(parents=True)
    playbook, inventory = CORPUS / f"{name}.yml", CORPUS / "inventory.yml"
    with ThreadPoolExecutor() as at_once:
        runs = [
            at_once.submit(engine, playbook, inventory, scratch, (*words, "-e", f"root={roots[engine.__name__]}"))
            for engine in (twin_engines.ansible, twin_engines.wherry)
        ]
    of_ansible, of_wherry = (run.result() for run in runs)
    assert of_ansible.counts, of_ansible.output
    assert of_wherry.counts == of_ansible.counts, of_wherry.output[-3000:]
    assert of_wherry.status == of_ansible.status
    expected, found = (told(seen, roots[e]) for seen, e in ((of_ansible, "ansible"), (of_wherry, "wherry")))
    if not results:
        for task in (task for side in (expected, found) for tasks in side.values() for task in tasks):
            task.pop("result")
    assert list(differences(expected, found)) == []
    assert list(differences(tree(roots["ansible"]), tree(roots["wherry"]))) == []
