"""Tar archives whose bytes depend on nothing but their content: no times, no owners, no order of a file system.

Invariant: the same entries give the same bytes on every machine, so a hash names an archive.
"""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Entry:
    """A file with its content, a symbolic link with its target, or a directory with neither."""

    path: str
    content: bytes | None = None
    mode: int = 0o644
    link: str = ""


def pack(entries: Iterable[Entry]) -> bytes:
    """An uncompressed tar, sorted by path."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for entry in sorted(entries, key=lambda entry: entry.path):
            archive.addfile(_header(entry), io.BytesIO(entry.content or b""))
    return buffer.getvalue()


def compress(content: bytes, level: int) -> bytes:
    """gzip without a time stamp."""
    return gzip.compress(content, level, mtime=0)


def tree(directory: Path) -> list[Entry]:
    """The files below a directory, with the execute bit that they have."""
    return [
        Entry(
            path.relative_to(directory).as_posix(), path.read_bytes(), 0o755 if path.stat().st_mode & 0o100 else 0o644
        )
        for path in directory.rglob("*")
        if path.is_file()
    ]


def _header(entry: Entry) -> tarfile.TarInfo:
    header = tarfile.TarInfo(entry.path)
    header.mode = entry.mode
    if entry.link:
        header.type, header.linkname, header.mode = tarfile.SYMTYPE, entry.link, 0o777
    elif entry.content is None:
        header.type = tarfile.DIRTYPE
    else:
        header.size = len(entry.content)
    return header
