"""Replaces every match of a pattern in a file."""

from __future__ import annotations

import re
from typing import Any

from playbooks.engine.helper.call import Call
from playbooks.engine.helper.options import Option
from playbooks.modules._text import EDIT_OPTIONS, load, store, without_empty_backup

OPTIONS = {
    **{name: option for name, option in EDIT_OPTIONS.items() if name != "create"},
    "regexp": Option(required=True),
    "replace": Option(default=""),
    "after": Option(),
    "before": Option(),
}


def run(call: Call) -> dict[str, Any]:
    """Ansible's result of `replace`."""
    path, text = load(call)
    section = _section(call, text)
    if isinstance(section, str):
        return {"changed": False, "rc": 0, "msg": section}
    start, end = section
    changed, count = re.compile(call["regexp"], re.MULTILINE).subn(call["replace"], text[start:end])
    after = text[:start] + changed + text[end:]
    return {**without_empty_backup(store(call, path, text, after, f"{count} replacements made")), "rc": 0}


def _section(call: Call, text: str) -> tuple[int, int] | str:
    """The part of the text between `after` and `before`, or why there is none, which is no failure."""
    after, before = call["after"], call["before"]
    if after is None and before is None:
        return 0, len(text)
    if after is None:
        pattern = f"(?P<subsection>.*){before}"
    elif before is None:
        pattern = f"{after}(?P<subsection>.*)"
    else:
        pattern = f"{after}(?P<subsection>.*?){before}"
    found = re.search(pattern, text, re.DOTALL)
    if not found:
        return f"Pattern for before/after params did not match the given file: {pattern}"
    return found.span("subsection")
