"""The same playbooks by ansible-core and by Wherry: the same results task by task, the same counts, the same files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import twin_engines
from twin_engines import CORPUS, Seen

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

CASES: dict[str, tuple[str, ...]] = {
    "async": (),
    "batches": (),
    "cron": (),
    "errors": (),
    "evaluation": (),
    "expressions": (),
    "files": (),
    "filters": (),
    "finding": (),
    "git": (),
    "handlers": (),
    "includes": (),
    "language": (),
    "loops": (),
    "lost": (),
    "plays": (),
    "precedence": ("-e", "from_extra=extra"),
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
# What differs between any two runs, and what Ansible's own way of working leaves in results.
VOLATILE = frozenset(
    (
        "invocation", "start", "end", "delta", "atime", "mtime", "ctime", "inode", "dev", "version", "warnings", "src",
        "deprecations", "exception", "ansible_loop_var", "ansible_index_var", "ansible_loop", "failed", "skipped",
        "md5sum", "failed_when_suppressed_exception", "diff", "path", "attributes", "attr_flags", "block_size",
        "blocks", "mimetype", "charset", "device_type", "censored", "message",
        "ansible_job_id", "results_file", "erased", "elapsed", "backup_file",
    )
)  # fmt: skip


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
    of_ansible = twin_engines.ansible(playbook, inventory, scratch, (*words, "-e", f"root={roots['ansible']}"))
    of_wherry = twin_engines.wherry(playbook, inventory, scratch, (*words, "-e", f"root={roots['wherry']}"))
    assert of_ansible.counts, of_ansible.output
    assert of_wherry.counts == of_ansible.counts, of_wherry.output[-3000:]
    assert of_wherry.status == of_ansible.status
    expected, found = (_told(seen, roots[e]) for seen, e in ((of_ansible, "ansible"), (of_wherry, "wherry")))
    if not results:
        for task in (task for told in (expected, found) for tasks in told.values() for task in tasks):
            task.pop("result")
    assert list(_differences(expected, found)) == []
    assert list(_differences(_tree(roots["ansible"]), _tree(roots["wherry"]))) == []


def _told(seen: Seen, root: Path) -> dict[str, list[Any]]:
    return {host: [_task(task, root) for task in tasks] for host, tasks in seen.tasks.items()}


def _task(task: dict[str, Any], root: Path) -> dict[str, Any]:
    # Of a hidden result Ansible shows that it is hidden, and Wherry nothing.
    result = {} if "censored" in task["result"] else _clean(task["result"], root)
    if task["status"] in ("failed", "ignored", "unreachable") or result.get("unreachable"):
        # Wherry's reasons are sentences of its own.
        result.pop("msg", None)
    return {"name": task["name"].rpartition(" : ")[2], "status": task["status"], "result": result}


def _clean(value: Any, root: Path) -> Any:
    if isinstance(value, dict):
        return {key: _clean(item, root) for key, item in value.items() if key not in VOLATILE and key[:1] != "_"}
    if isinstance(value, list):
        return [_clean(item, root) for item in value]
    return value.replace(str(root), "ROOT") if isinstance(value, str) else value


def _tree(root: Path) -> dict[str, Any]:
    return {str(path.relative_to(root)): _entry(path, root) for path in sorted(root.rglob("*"))}


def _entry(path: Path, root: Path) -> dict[str, Any]:
    status = path.lstat()
    content = os.readlink(path) if path.is_symlink() else path.read_text("latin-1") if path.is_file() else ""
    content = content.replace(str(root), "ROOT")
    return {"mode": oct(status.st_mode), "owner": (status.st_uid, status.st_gid), "content": content}


def _differences(expected: Any, found: Any, path: str = "") -> Iterator[str]:
    """Every place at which two values differ, Ansible's first."""
    if isinstance(expected, dict) and isinstance(found, dict):
        for key in sorted({*expected, *found}, key=str):
            if key not in found:
                yield f"{path}.{key}: only Ansible has {expected[key]!r}"
            elif key not in expected:
                yield f"{path}.{key}: only Wherry has {found[key]!r}"
            else:
                yield from _differences(expected[key], found[key], f"{path}.{key}")
    elif isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
        for index, (left, right) in enumerate(zip(expected, found)):
            yield from _differences(left, right, f"{path}[{index}]")
    elif expected != found:
        yield f"{path}: {expected!r} is by Ansible, {found!r} by Wherry"
