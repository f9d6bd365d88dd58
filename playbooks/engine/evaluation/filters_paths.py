"""Filters on paths, as os.path has them.

Source: Ansible, "Manipulating file paths".
"""

from __future__ import annotations

import glob
import ntpath
import posixpath
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any


def path_join(parts: Any) -> str:
    """One path of a text or of a list of parts."""
    return posixpath.join(*parts) if isinstance(parts, list | tuple) else str(parts)


def fileglob(pattern: Any) -> list[str]:
    """The files of this machine that match a pattern, in their directory's order, as Ansible gives them."""
    # Path.glob would let `*` stand for hidden files too.
    return [found for found in glob.glob(str(pattern)) if Path(found).is_file()]  # noqa: PTH207


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
    "win_basename": lambda path: ntpath.basename(str(path)),
    "win_dirname": lambda path: ntpath.dirname(str(path)),
    "win_splitdrive": lambda path: list(ntpath.splitdrive(str(path))),
}
