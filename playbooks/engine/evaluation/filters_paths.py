"""Filters on paths, as os.path has them.

Source: Ansible, "Manipulating file paths".
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any


def path_join(parts: Any) -> str:
    """One path of a text or of a list of parts."""
    return posixpath.join(*parts) if isinstance(parts, list | tuple) else str(parts)


def fileglob(pattern: Any) -> list[str]:
    """The files of this machine that match a pattern, sorted."""
    path = Path(str(pattern))
    base = Path(path.anchor or ".")
    return sorted(str(found) for found in base.glob(str(path.relative_to(path.anchor))) if found.is_file())


FILTERS: Mapping[str, Callable[..., Any]] = {
    "basename": lambda path: posixpath.basename(str(path)),
    "dirname": lambda path: posixpath.dirname(str(path)),
    "expanduser": lambda path: posixpath.expanduser(str(path)),
    "expandvars": lambda path: posixpath.expandvars(str(path)),
    "realpath": lambda path: posixpath.realpath(str(path)),
    "normpath": lambda path: posixpath.normpath(str(path)),
    "relpath": lambda path, start=".": posixpath.relpath(str(path), start),
    "splitext": lambda path: list(posixpath.splitext(str(path))),
    "commonpath": posixpath.commonpath,
    "path_join": path_join,
    "fileglob": fileglob,
}
