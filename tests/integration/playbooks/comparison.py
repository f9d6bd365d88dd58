"""Brings what two engines did into one form, and tells every place at which it differs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from twin_engines import Seen

# What differs between any two runs, and what Ansible's own way of working leaves in results.
VOLATILE = frozenset(
    (
        "invocation", "start", "end", "delta", "atime", "mtime", "ctime", "inode", "dev", "version", "warnings", "src",
        "deprecations", "exception", "ansible_loop_var", "ansible_index_var", "ansible_loop", "failed", "skipped",
        "md5sum", "failed_when_suppressed_exception", "diff", "path", "attributes", "attr_flags", "block_size",
        "blocks", "mimetype", "charset", "device_type", "censored", "message",
        "ansible_job_id", "results_file", "erased", "changed_when_result", "elapsed", "backup_file",
    )
)  # fmt: skip


def told(seen: Seen, root: Path, without: frozenset[str] = frozenset()) -> dict[str, list[Any]]:
    """By host what each task came to, without what differs between any two runs.

    `without` names what is left out further of a failure, an item's too: the words of tools, and Wherry's own.
    """
    return {host: [_task(task, root, without) for task in tasks] for host, tasks in seen.tasks.items()}


def _task(task: dict[str, Any], root: Path, without: frozenset[str]) -> dict[str, Any]:
    # Of a hidden result Ansible shows that it is hidden, and Wherry nothing.
    result = {} if "censored" in task["result"] else _clean(task["result"], root)
    if task["status"] in ("failed", "ignored", "unreachable") or result.get("unreachable"):
        # Wherry's reasons are sentences of its own.
        own = {"msg"} | ({"failed_when_result"} if isinstance(result.get("failed_when_result"), str) else set())
        result = {key: value for key, value in result.items() if key not in without | own}
    if isinstance(result.get("results"), list):
        items = zip(result["results"], task["result"]["results"])
        result["results"] = [_item(item, bool(raw.get("failed")), without) for item, raw in items]
    return {"name": task["name"].rpartition(" : ")[2], "status": task["status"], "result": result}


def _item(item: Any, failed: bool, without: frozenset[str]) -> Any:
    if not isinstance(item, dict) or not failed:
        return item
    return {"failed": True, **{key: value for key, value in item.items() if key not in without}}


def _clean(value: Any, root: Path) -> Any:
    if isinstance(value, dict):
        return {key: _clean(item, root) for key, item in value.items() if key not in VOLATILE and key[:1] != "_"}
    if isinstance(value, list):
        return [_clean(item, root) for item in value]
    return value.replace(str(root), "ROOT") if isinstance(value, str) else value


def tree(root: Path) -> dict[str, Any]:
    """Every file below a directory: mode, owner, content."""
    return {str(path.relative_to(root)): _entry(path, root) for path in sorted(root.rglob("*"))}


def _entry(path: Path, root: Path) -> dict[str, Any]:
    status = path.lstat()
    content = os.readlink(path) if path.is_symlink() else path.read_text("latin-1") if path.is_file() else ""
    content = content.replace(str(root), "ROOT")
    return {"mode": oct(status.st_mode), "owner": (status.st_uid, status.st_gid), "content": content}


def differences(expected: Any, found: Any, path: str = "") -> Iterator[str]:
    """Every place at which two values differ, Ansible's first."""
    if isinstance(expected, dict) and isinstance(found, dict):
        for key in sorted({*expected, *found}, key=str):
            if key not in found:
                yield f"{path}.{key}: only Ansible has {expected[key]!r}"
            elif key not in expected:
                yield f"{path}.{key}: only Wherry has {found[key]!r}"
            else:
                yield from differences(expected[key], found[key], f"{path}.{key}")
    elif isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
        for index, (left, right) in enumerate(zip(expected, found)):
            yield from differences(left, right, f"{path}[{index}]")
    elif expected != found:
        yield f"{path}: {expected!r} is by Ansible, {found!r} by Wherry"
