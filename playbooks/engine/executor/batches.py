"""How `serial` cuts a play's hosts into batches, and when too many of them have failed.

Invariant: pure.
Source: Ansible, "Controlling playbook execution: strategies and more".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from playbooks.errors import PlaybookError


def batches(hosts: Sequence[str], serial: Sequence[Any]) -> list[list[str]]:
    """The batches in order; the last size repeats. Raises PlaybookError for a size that is none."""
    sizes = [_size(size, len(hosts)) for size in serial] or [len(hosts)]
    found: list[list[str]] = []
    start = 0
    while start < len(hosts):
        size = sizes[min(len(found), len(sizes) - 1)] or len(hosts)
        found.append(list(hosts[start : start + size]))
        start += size
    return found


def _size(size: Any, total: int) -> int:
    text = str(size).strip()
    try:
        if text.endswith("%"):
            return max(1, int(total * float(text[:-1]) / 100))
        return max(0, int(text))
    except ValueError as error:
        raise PlaybookError(f"serial is {size!r}; it must be a number or a percentage") from error


def too_many_failed(failed: int, total: int, maximum: Any) -> bool:
    """Whether more than `maximum` percent of a batch has failed; None is no limit."""
    return maximum is not None and total > 0 and failed * 100 / total > float(str(maximum).rstrip("%"))
