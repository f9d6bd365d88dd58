"""Makes one line of a file be there, or not."""

from __future__ import annotations

import os
import re
from typing import Any

from playbooks.engine.helper.call import Call, Failure
from playbooks.engine.helper.options import Option
from playbooks.modules._text import EDIT_OPTIONS, load, store

OPTIONS = {
    **EDIT_OPTIONS,
    "line": Option(aliases=("value",)),
    "regexp": Option(aliases=("regex",)),
    "search_string": Option(),
    "state": Option(default="present", choices=("absent", "present")),
    "insertafter": Option(),
    "insertbefore": Option(),
    "backrefs": Option("bool", default=False),
    "firstmatch": Option("bool", default=False),
}


def run(call: Call) -> dict[str, Any]:
    """Ansible's result of `lineinfile`."""
    for one, other in (("insertbefore", "insertafter"), ("regexp", "search_string"), ("search_string", "backrefs")):
        if call[one] not in (None, False) and call[other] not in (None, False):
            raise Failure(f"parameters are mutually exclusive: {one}|{other}")
    if call["state"] == "absent":
        return _absent(call)
    if call["line"] is None:
        raise Failure("line is required with state=present")
    if call["backrefs"] and call["regexp"] is None:
        raise Failure("regexp is required with backrefs=true")
    path, text = load(call)
    lines = text.splitlines(True)
    message = _present(call, lines)
    return _named_backup(store(call, path, text, "".join(lines), message))


def _named_backup(result: dict[str, Any]) -> dict[str, Any]:
    """The result as `lineinfile` gives it: the backup's name stands under `backup` alone."""
    return {key: value for key, value in result.items() if key != "backup_file"}


def _absent(call: Call) -> dict[str, Any]:
    if not os.path.exists(os.path.expanduser(call["path"])):
        return {"changed": False, "msg": "file not present", "found": 0}
    path, text = load(call)
    matches = _matcher(call)
    kept = [line for line in text.splitlines(True) if not matches(line.rstrip("\r\n"))]
    found = len(text.splitlines(True)) - len(kept)
    result = _named_backup(store(call, path, text, "".join(kept), f"{found} line(s) removed"))
    return {**result, "found": found}


def _matcher(call: Call) -> Any:
    if call["regexp"] is not None:
        pattern = re.compile(call["regexp"])
        return lambda line: pattern.search(line)
    if call["search_string"] is not None:
        return lambda line: call["search_string"] in line
    if call["line"] is None:
        raise Failure("one of line, search_string, or regexp is required with state=absent")
    return lambda line: line == call["line"].rstrip("\r\n")


def _present(call: Call, lines: list[str]) -> str:
    """Change the lines; what was done, "" if nothing had to be."""
    wanted: str = call["line"]
    searching = call["regexp"] is not None or call["search_string"] is not None
    matches = _matcher(call) if searching else None
    hits = [index for index, line in enumerate(lines) if matches and matches(line.rstrip("\r\n"))]
    if hits:
        index = hits[0] if call["firstmatch"] else hits[-1]
        found = matches(lines[index].rstrip("\r\n")) if matches else None
        new = found.expand(wanted) if call["backrefs"] and isinstance(found, re.Match) else wanted
        if not new.endswith("\n"):
            new += "\n"
        if lines[index] != new:
            lines[index] = new
            return "line replaced"
        return ""
    if call["backrefs"]:
        return ""
    if wanted.rstrip("\r\n") in [line.rstrip("\r\n") for line in lines]:
        return ""
    if lines and not lines[-1].endswith("\n"):
        lines[-1] += "\n"
    lines.insert(_place(call, lines), wanted if wanted.endswith("\n") else wanted + "\n")
    return "line added"


def _place(call: Call, lines: list[str]) -> int:
    before, after = call["insertbefore"], call["insertafter"]
    if before == "BOF":
        return 0
    pattern = before if before is not None else after
    if pattern in (None, "EOF"):
        return len(lines)
    compiled = re.compile(pattern)
    hits = [index for index, line in enumerate(lines) if compiled.search(line.rstrip("\r\n"))]
    if not hits:
        return len(lines)
    index = hits[0] if call["firstmatch"] else hits[-1]
    return index if before is not None else index + 1
