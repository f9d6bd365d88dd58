"""Which tasks `--tags` and `--skip-tags` choose.

Invariant: pure. `always` runs unless skipped by name, `never` only if asked for.
Source: Ansible, "Tags".
"""

from __future__ import annotations

from collections.abc import Set


def chosen(tags: Set[str], only: Set[str], skip: Set[str]) -> bool:
    """Whether a task with `tags` runs under `--tags only --skip-tags skip` (`only` empty means all)."""
    return _wanted(tags, only or {"all"}) and not _skipped(tags, skip)


def _wanted(tags: Set[str], only: Set[str]) -> bool:
    if "always" in tags or tags & only:
        return True
    if "never" in tags:
        return False
    return "all" in only or ("tagged" in only and bool(tags)) or ("untagged" in only and not tags)


def _skipped(tags: Set[str], skip: Set[str]) -> bool:
    if "all" in skip:
        return "always" not in tags or "always" in skip
    return bool(tags & skip) or ("tagged" in skip and bool(tags)) or ("untagged" in skip and not tags)
