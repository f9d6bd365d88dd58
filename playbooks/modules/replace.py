"""Replaces every match of a pattern in a file."""

from __future__ import annotations

import re
from typing import Any

from playbooks.engine.helper.call import Call, Failure
from playbooks.engine.helper.options import Option
from playbooks.modules._text import EDIT_OPTIONS, attributed, load, store

OPTIONS = {
    **{name: option for name, option in EDIT_OPTIONS.items() if name != "create"},
    "encoding": Option(default="utf-8"),
    "regexp": Option(required=True),
    "replace": Option(default=""),
    "after": Option(),
    "before": Option(),
}


def run(call: Call) -> dict[str, Any]:
    """Ansible's result of `replace`."""
    try:
        return _run(call)
    except (LookupError, UnicodeError) as error:
        raise Failure(f"{call['path']} cannot be read or written as {call['encoding']}: {error}") from error


def _run(call: Call) -> dict[str, Any]:
    path, before = call["path"], load(call) or b""
    text = before.decode(call["encoding"], "surrogateescape")
    section = _section(call, text)
    if isinstance(section, str):
        return {"changed": False, "rc": 0, "msg": section}
    start, end = section
    try:
        part, count = re.compile(call["regexp"], re.MULTILINE).subn(call["replace"], text[start:end])
    except (re.error, IndexError) as error:
        raise Failure(f"Unable to process replace due to error: {error}") from error
    after = text[:start] + part + text[end:]
    message = f"{count} replacements made" if after != text else ""
    edit = store(call, before, after.encode(call["encoding"], "surrogateescape"), message)
    result: dict[str, Any] = {**attributed(call, edit), "rc": 0}
    if edit.changed and call.diff:
        result["diff"] = {"before_header": path, "before": text, "after_header": path, "after": after}
    return {**result, "backup_file": edit.backup} if edit.backup else result


def _section(call: Call, text: str) -> tuple[int, int] | str:
    """The part of the text between `after` and `before`, or why there is none, which is no failure."""
    after, before = call["after"], call["before"]
    if not after and not before:
        return 0, len(text)
    if not after:
        pattern = f"(?P<subsection>.*){before}"
    elif not before:
        pattern = f"{after}(?P<subsection>.*)"
    else:
        pattern = f"{after}(?P<subsection>.*?){before}"
    found = re.search(pattern, text, re.DOTALL)
    if not found:
        return f"Pattern for before/after params did not match the given file: {pattern}"
    return found.span("subsection")
