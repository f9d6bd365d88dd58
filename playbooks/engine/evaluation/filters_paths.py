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

from playbooks.errors import TemplateError


def path_join(parts: Any) -> str:
    """One path of a text or of a list of parts. Raises TemplateError."""
    if not isinstance(parts, str | list | tuple):
        raise TemplateError(f"path_join expects a text or a list, not {type(parts).__name__}")
    return parts if isinstance(parts, str) else posixpath.join(*parts)


def commonpath(paths: Any) -> str:
    """The longest path that all of a list begin with. Raises TemplateError."""
    if not isinstance(paths, list | tuple):
        raise TemplateError(f"commonpath expects a list, not {type(paths).__name__}")
    return posixpath.commonpath(paths)


def fileglob(pattern: Any) -> list[str]:
    """The files of this machine that match a pattern, in their directory's order, as Ansible gives them."""
    # Path.glob would let `*` stand for hidden files too.
    return [found for found in glob.glob(str(pattern)) if Path(found).is_file()]  # noqa: PTH207


FILTERS: Mapping[str, Callable[..., Any]] = {
    "basename": posixpath.basename,
    "dirname": posixpath.dirname,
    "expanduser": posixpath.expanduser,
    "expandvars": posixpath.expandvars,
    "realpath": posixpath.realpath,
    "normpath": posixpath.normpath,
    "relpath": posixpath.relpath,
    "splitext": lambda path: list(posixpath.splitext(path)),
    "commonpath": commonpath,
    "path_join": path_join,
    "fileglob": fileglob,
    "win_basename": ntpath.basename,
    "win_dirname": ntpath.dirname,
    "win_splitdrive": lambda path: list(ntpath.splitdrive(path)),
}
