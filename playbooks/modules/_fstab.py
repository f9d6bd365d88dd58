"""The table of file systems, as text.

Invariant: pure. Lines that do not change stay as they are, byte for byte.
"""

from __future__ import annotations

from typing import NamedTuple

# A backslash first: the others bring some.
_ESCAPES = (("\\", "\\134"), (" ", "\\040"), ("&", "\\046"))


class Entry(NamedTuple):
    """One line's fields, in their order there."""

    source: str
    path: str
    kind: str
    options: str
    dump: str
    order: str


def with_entry(text: str, entry: Entry) -> str:
    """The table with this entry in place of the one for its path, or behind all others."""
    wanted = list(map(_escaped, entry))
    lines, found = [], False
    for line in _lines(text):
        if _is_of(line, entry.path, entry.source):
            found = True
            lines.append(line if line.split() == wanted else " ".join(wanted) + "\n")
        else:
            lines.append(line)
    after = "".join(lines if found else [*lines, " ".join(wanted) + "\n"])
    return text if after.rstrip("\n") == text.rstrip("\n") else after


def without_entry(text: str, path: str, source: str | None) -> str:
    """The table without the entries for a path."""
    kept = [line for line in _lines(text) if not _is_of(line, path, source)]
    return "".join(kept) if len(kept) < len(_lines(text)) else text


def _lines(text: str) -> list[str]:
    return [line + "\n" for line in text.split("\n")[: -1 if text.endswith("\n") or not text else None]]


def _is_of(line: str, path: str, source: str | None) -> bool:
    """Whether a line is of that path; of swap spaces, which have none, only the source tells one from another."""
    fields = line.partition("#")[0].split()
    if not 4 <= len(fields) <= 6 or _trimmed(fields[1]) != _trimmed(_escaped(path)):
        return False
    return source is None or fields[1:3] != ["none", "swap"] or fields[0] == _escaped(source)


def _trimmed(path: str) -> str:
    return path.rstrip("/") or "/"


def _escaped(field: str) -> str:
    for plain, escaped in _ESCAPES:
        field = field.replace(plain, escaped)
    return field
