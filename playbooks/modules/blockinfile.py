"""Makes a block of lines between two markers be there, or not."""

from __future__ import annotations

import re
from typing import Any

from playbooks.engine.helper.call import Call
from playbooks.engine.helper.options import Option
from playbooks.modules._text import EDIT_OPTIONS, load, reported, store

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


EXCLUSIVE = (("insertbefore", "insertafter"),)


def run(call: Call) -> dict[str, Any]:
    """Ansible's result of `blockinfile`."""
    path, before = call["path"], load(call)
    if before is None and call["state"] == "absent":
        return {"changed": False, "msg": f"File {path} not present"}
    begin, end = (
        (call["marker"].replace("{mark}", call[f"marker_{side}"]) + "\n").encode("utf-8", "surrogateescape")
        for side in ("begin", "end")
    )
    lines = (before or b"").splitlines(True)
    block = call["block"].encode("utf-8", "surrogateescape") if call["state"] == "present" else b""
    place, removed = _cut(lines, begin, end)
    at = place if removed else _place(call, lines, before or b"")
    if at > 0 and not lines[at - 1].endswith(b"\n"):
        lines[at - 1] += b"\n"
    own = [begin, block if block.endswith(b"\n") else block + b"\n", end] if block else []
    if call["state"] == "present":
        own = _framed(call, lines, at, own)
    lines[at:at] = own
    after = b"".join(lines)
    message = "" if before == after else "File created" if before is None else _MESSAGES[bool(block)]
    edit = store(call, before, after, message)
    result = reported(call, edit, before, after)
    return {**result, "backup_file": edit.backup} if edit.backup else result


_MESSAGES = {True: "Block inserted", False: "Block removed"}


def _cut(lines: list[bytes], begin: bytes, end: bytes) -> tuple[int, bool]:
    """Take the block with its markers out; where it was, and whether there was one."""
    starts = [index for index, line in enumerate(lines) if line == begin]
    ends = [index for index, line in enumerate(lines) if line == end]
    if not starts or not ends:
        return 0, False
    first, last = sorted((starts[-1], ends[-1]))
    del lines[first : last + 1]
    return first, True


def _place(call: Call, lines: list[bytes], content: bytes) -> int:
    before, after = call["insertbefore"], call["insertafter"]
    if before == "BOF":
        return 0
    if before is None and after in (None, "EOF"):
        return len(lines)
    pattern = re.compile((after if after not in (None, "EOF") else before).encode("utf-8", "surrogateescape"))
    if pattern.flags & re.MULTILINE:
        # The pattern says itself that it is about more than a line.
        found = pattern.search(content)
        hits = [content.count(b"\n", 0, found.end() if after else found.start())] if found else []
    else:
        hits = [index for index, line in enumerate(lines) if pattern.search(line)]
    return len(lines) if not hits else hits[-1] + (1 if after is not None else 0)


def _framed(call: Call, lines: list[bytes], at: int, block: list[bytes]) -> list[bytes]:
    if call["prepend_newline"] and at > 0 and lines[at - 1] != b"\n":
        block = [b"\n", *block]
    if call["append_newline"] and at < len(lines) and lines[at] != b"\n":
        block = [*block, b"\n"]
    return block
