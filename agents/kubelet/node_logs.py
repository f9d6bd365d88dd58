"""The node's own log files, as /logs/ serves them: a list of what a directory has, or a file's content.

Invariant: nothing outside of the directory is shown, whatever links lead there: a container that may write into it
must not read the node by it.
Source: kubelet's server.go (a file server over /var/log); Go's http.FileServer for the form of a list.
"""

from __future__ import annotations

import html
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

ROOT = Path("/var/log")
_PIECE = 256 * 1024


def located(root: Path, relative: str) -> Path | None:
    """The file or directory of that name within `root`, or None."""
    found = (root / relative).resolve()
    return found if found.exists() and found.is_relative_to(root.resolve()) else None


def listing(directory: Path) -> str:
    """The names in a directory as a page of links; directories end with a slash."""
    names = sorted(f"{entry.name}/" if entry.is_dir() else entry.name for entry in directory.iterdir())
    links = "".join(f'<a href="{quote(name)}">{html.escape(name)}</a>\n' for name in names)
    return f'<!doctype html>\n<meta name="viewport" content="width=device-width">\n<pre>\n{links}</pre>\n'


def content(path: Path) -> Iterator[bytes]:
    """A file in pieces."""
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            yield piece
