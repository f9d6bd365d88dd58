"""Makes a block of lines between two markers be there, or not."""

from __future__ import annotations

import os
import re
from typing import Any

from playbooks.engine.helper.call import Call
from playbooks.engine.helper.options import Option
from playbooks.modules._text import EDIT_OPTIONS, load, store, without_empty_backup

OPTIONS = {
    **EDIT_OPTIONS,
    "block": Option(default="", aliases=("content",)),
    "marker": Option(default="# {mark} ANSIBLE MANAGED BLOCK"),
    "marker_begin": Option(default="BEGIN"),
    "marker_end": Option(default="END"),
    "state": Option(default="present", choices=("absent", "present")),
    "insertafter": Option(),
    "insertbefore": Option(),
    "append_newline": Option("bool", default=False),
    "prepend_newline": Option("bool", default=False),
}


def run(call: Call) -> dict[str, Any]:
    """Ansible's result of `blockinfile`."""
    path, text = load(call)
    begin = call["marker"].replace("{mark}", call["marker_begin"])
    end = call["marker"].replace("{mark}", call["marker_end"])
    lines = text.splitlines()
    place, removed = _cut(lines, begin, end)
    present = call["state"] == "present" and call["block"] != ""
    if present:
        block = call["block"].rstrip("\n") if call["block"].endswith("\n") else call["block"]
        at = place if removed else _place(call, lines)
        lines[at:at] = _framed(call, lines, at, [begin, *block.split("\n"), end])
    after = "\n".join(lines) + ("\n" if lines and (text.endswith("\n") or present or not text) else "")
    if present and not os.path.exists(path):
        return without_empty_backup(store(call, path, text, after, "File created"))
    message = "Block inserted" if present and not removed else "Block removed" if not present else "Block inserted"
    return without_empty_backup(store(call, path, text, after, message))


def _cut(lines: list[str], begin: str, end: str) -> tuple[int, bool]:
    """Take the block with its markers out; where it was, and whether there was one."""
    starts = [index for index, line in enumerate(lines) if line == begin]
    ends = [index for index, line in enumerate(lines) if line == end]
    if not starts or not ends or ends[-1] < starts[-1]:
        return 0, False
    del lines[starts[-1] : ends[-1] + 1]
    return starts[-1], True


def _place(call: Call, lines: list[str]) -> int:
    before, after = call["insertbefore"], call["insertafter"]
    if before == "BOF":
        return 0
    pattern = before if before is not None else after
    if pattern in (None, "EOF"):
        return len(lines)
    compiled = re.compile(pattern)
    hits = [index for index, line in enumerate(lines) if compiled.search(line)]
    if not hits:
        return len(lines)
    return hits[-1] if before is not None else hits[-1] + 1


def _framed(call: Call, lines: list[str], at: int, block: list[str]) -> list[str]:
    if call["prepend_newline"] and at > 0 and lines[at - 1] != "":
        block = ["", *block]
    if call["append_newline"] and at < len(lines) and lines[at] != "":
        block = [*block, ""]
    return block
