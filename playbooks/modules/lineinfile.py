"""Makes one line of a file be there, or not."""

from __future__ import annotations

import os
import re
from typing import Any, Callable

from playbooks.engine.helper.call import Call, Failure
from playbooks.engine.helper.options import Option
from playbooks.modules._text import EDIT_OPTIONS, Edit, load, reported, store

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
EXCLUSIVE = (("insertbefore", "insertafter"), ("regexp", "search_string"), ("backrefs", "search_string"))


def run(call: Call) -> dict[str, Any]:
    """Ansible's result of `lineinfile`."""
    if os.path.isdir(call["path"]):
        raise Failure(f"Path {call['path']} is a directory !", rc=256)
    if call["state"] == "absent":
        return _absent(call)
    if call["backrefs"] and call["regexp"] is None:
        raise Failure("regexp is required with backrefs=true")
    if call["line"] is None:
        raise Failure("line is required with state=present")
    before = load(call, "Destination")
    lines = _lines(before or b"")
    message = _present(call, lines)
    return _result(call, before, b"".join(lines), message)


def _result(call: Call, before: bytes | None, after: bytes, message: str) -> dict[str, Any]:
    edit: Edit = store(call, before, after, message)
    return {**reported(call, edit, before, after), "backup": edit.backup}


def _lines(content: bytes) -> list[bytes]:
    """Lines as a file is read: ended by a newline and nothing else."""
    return [line for line in re.split(b"(?<=\n)", content) if line]


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _bare(line: bytes) -> bytes:
    return line.rstrip(b"\r\n")


def _matcher(call: Call) -> Callable[[bytes], Any]:
    if call["regexp"] is not None:
        return re.compile(_bytes(call["regexp"])).search
    wanted = _bytes(call["search_string"])
    return lambda line: wanted in line


def _absent(call: Call) -> dict[str, Any]:
    if call["regexp"] is None and call["search_string"] is None and call["line"] is None:
        raise Failure("one of line, search_string, or regexp is required with state=absent")
    if not os.path.exists(call["path"]):
        return {"changed": False, "msg": "file not present"}
    before = load(call) or b""
    lines = _lines(before)
    if call["regexp"] is None and call["search_string"] is None:
        kept = [line for line in lines if _bare(line) != _bytes(call["line"])]
    else:
        matches = _matcher(call)
        kept = [line for line in lines if not matches(line)]
    found = len(lines) - len(kept)
    message = f"{found} line(s) removed" if found else ""
    return {**_result(call, before, b"".join(kept), message), "found": found}


def _present(call: Call, lines: list[bytes]) -> str:
    """Change the lines; what was done, "" if nothing had to be."""
    wanted = _bytes(call["line"])
    if call["regexp"] is not None or call["search_string"] is not None:
        matches = _matcher(call)
        hits = [index for index, line in enumerate(lines) if matches(line)]
        if hits:
            index = hits[0] if call["firstmatch"] else hits[-1]
            found = matches(lines[index])
            replaces = call["backrefs"] and isinstance(found, re.Match)
            return _replaced(lines, index, _expanded(found, wanted) if replaces else wanted)
    same = [index for index, line in enumerate(_searched(call, lines)) if _bare(line) == wanted]
    if same:
        return _replaced(lines, same[-1], wanted)
    return "" if call["backrefs"] else _added(call, lines, wanted + b"\n")


def _expanded(found: re.Match[bytes], wanted: bytes) -> bytes:
    try:
        return found.expand(wanted)
    except (re.error, IndexError) as error:
        raise Failure(f"line refers to a group that regexp does not have: {error}") from error


def _replaced(lines: list[bytes], index: int, new: bytes) -> str:
    if not new.endswith(b"\n"):
        new += b"\n"
    if lines[index] == new:
        return ""
    lines[index] = new
    return "line replaced"


def _anchor(call: Call) -> Callable[[bytes], Any] | None:
    """What tells the line beside which a new one goes."""
    after, before = call["insertafter"], call["insertbefore"]
    if after not in (None, "BOF", "EOF"):
        return re.compile(_bytes(after)).search
    return re.compile(_bytes(before)).search if before not in (None, "BOF") else None


def _searched(call: Call, lines: list[bytes]) -> list[bytes]:
    """The lines that are looked at for the one that is wanted: with `firstmatch` up to where it would go."""
    anchor = _anchor(call)
    if anchor is None or not call["firstmatch"]:
        return lines
    wanted = _bytes(call["line"])
    end = next((index for index, line in enumerate(lines) if _bare(line) != wanted and anchor(line)), len(lines))
    return lines[:end]


def _added(call: Call, lines: list[bytes], new: bytes) -> str:
    after, before = call["insertafter"], call["insertbefore"]
    anchor = _anchor(call)
    hits = [index for index, line in enumerate(lines) if anchor and anchor(line)]
    if "BOF" in (before, after):
        lines.insert(0, new)
    elif not hits or after == "EOF" or (after is None and before is None):
        if lines and not lines[-1].endswith((b"\n", b"\r")):
            lines.append(b"\n")
        lines.append(new)
    else:
        index = (hits[0] if call["firstmatch"] else hits[-1]) + (1 if after else 0)
        # One that is there already, in the very place, is not added again.
        if after and _bare(lines[min(index, len(lines) - 1)]) == _bare(new):
            return ""
        lines.insert(index, new)
    return "line added"
