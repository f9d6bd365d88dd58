"""Makes a block of lines between two markers be there, or not."""

from __future__ import annotations

import os
import re
from typing import Any

from playbooks.engine.helper.call import Call, Failure
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
    if call["insertbefore"] is not None and call["insertafter"] is not None:
        raise Failure("parameters are mutually exclusive: insertbefore|insertafter")
    path, text = load(call)
    begin = call["marker"].replace("{mark}", call["marker_begin"])
    end = call["marker"].replace("{mark}", call["marker_end"])
    lines = text.split("\n")
    lines = [f"{line}\n" for line in lines[:-1]] + ([lines[-1]] if lines[-1] else [])
    place, removed = _cut(lines, f"{begin}\n", f"{end}\n")
    present = call["state"] == "present" and call["block"] != ""
    at = place if removed else _place(call, lines)
    if at > 0 and not lines[at - 1].endswith("\n"):
        lines[at - 1] += "\n"
    block = call["block"] + ("" if call["block"].endswith("\n") else "\n")
    own = [begin + "\n", block, end + "\n"] if present else []
    if call["state"] == "present":
        own = _framed(call, lines, at, own)
    lines[at:at] = own
    after = "".join(lines)
    if not os.path.exists(path):
        return without_empty_backup(store(call, path, text, after, "File created"))
    message = "Block inserted" if present else "Block removed"
    return without_empty_backup(store(call, path, text, after, message))


def _cut(lines: list[str], begin: str, end: str) -> tuple[int, bool]:
    """Take the block with its markers out; where it was, and whether there was one."""
    starts = [index for index, line in enumerate(lines) if line == begin]
    ends = [index for index, line in enumerate(lines) if line == end]
    if not starts or not ends:
        return 0, False
    first, last = sorted((starts[-1], ends[-1]))
    del lines[first : last + 1]
    return first, True


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
    if call["prepend_newline"] and at > 0 and lines[at - 1] != "\n":
        block = ["\n", *block]
    if call["append_newline"] and at < len(lines) and lines[at] != "\n":
        block = [*block, "\n"]
    return block
