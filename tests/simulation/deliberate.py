"""Deliberate bugs: patches of the components, applied to the code as it is read and never to a file.

A patch is a unified diff with a head of `Name: value` lines. Line numbers in it do not matter: what is replaced is
found by its text, which must occur exactly once, so patches survive changes around them.

Invariant: a patch that does not fit is an error, never a bug that is silently absent.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.machinery import PathFinder, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
BUGS = Path(__file__).parent / "bugs"


class DoesNotFit(Exception):
    """What a patch replaces is not in the file exactly once."""


@dataclass(frozen=True, slots=True)
class Bug:
    """One deliberate bug: what it is, how it was found, and the texts that it replaces in files."""

    name: str
    what: str
    scenario: str
    seed: int
    rule: str
    hunks: tuple[tuple[str, str, str], ...]

    def apply(self, path: str, source: str) -> str:
        """The source of `path` (from the top of the tree) with the bug. Raises DoesNotFit."""
        for where, before, after in self.hunks:
            if where != path:
                continue
            if source.count(before) != 1:
                raise DoesNotFit(f"{self.name}: its text is {source.count(before)} times in {path}, not once")
            source = source.replace(before, after)
        return source


def parse(name: str, text: str) -> Bug:
    """A bug from its patch."""
    head, _, diff = text.partition("\n--- ")
    fields = dict(line.split(": ", 1) for line in head.splitlines() if line)
    hunks = []
    for part in re.split(r"^--- ", "--- " + diff, flags=re.MULTILINE)[1:]:
        _, target, *body = part.splitlines()
        path = target.removeprefix("+++ b/")
        hunks += [(path, *_texts(hunk)) for hunk in _hunks(body)]
    seed = int(fields["Seed"])
    return Bug(name, fields["What"], fields["Scenario"], seed, fields["Rule"], tuple(hunks))


def _hunks(body: Sequence[str]) -> list[str]:
    return re.split(r"^@@.*\n", "\n".join(body) + "\n", flags=re.MULTILINE)[1:]


def _texts(hunk: str) -> tuple[str, str]:
    lines = hunk.splitlines()
    before = [line[1:] for line in lines if not line.startswith("+")]
    after = [line[1:] for line in lines if not line.startswith("-")]
    return "\n".join(before) + "\n", "\n".join([*after, ""])


@cache
def bugs() -> dict[str, Bug]:
    """All deliberate bugs by name."""
    return {path.stem: parse(path.stem, path.read_text()) for path in sorted(BUGS.glob("*.patch"))}


def named_in(arguments: Sequence[str]) -> Bug | None:
    """The bug that a command line asks for with --bug NAME."""
    if "--bug" not in arguments[:-1]:
        return None
    name = arguments[arguments.index("--bug") + 1]
    if name not in bugs():
        sys.exit(f"there is no deliberate bug {name!r}; there are {', '.join(bugs())}")
    return bugs()[name]


def put_in(bug: Bug) -> None:
    """From now on modules are read with the bug in them; none of those that it changes may be imported yet."""
    paths = {path for path, _, _ in bug.hunks}
    for path in paths:
        bug.apply(path, (ROOT / path).read_text())
    already = [name for name, module in sys.modules.items() if _path_of(module) in paths]
    if already:
        raise DoesNotFit(f"{bug.name}: {', '.join(already)} has been imported already")
    sys.meta_path.insert(0, _Finder(bug, paths))


def _path_of(module: ModuleType) -> str:
    file = getattr(module, "__file__", None) or ""
    return file.removeprefix(f"{ROOT}/")


class _Finder:
    """Finds the modules that a bug changes, and reads them with it."""

    def __init__(self, bug: Bug, paths: set[str]) -> None:
        self._bug = bug
        self._paths = paths

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> Any:
        spec = PathFinder.find_spec(fullname, path, target)
        where = (spec.origin or "").removeprefix(f"{ROOT}/") if spec else ""
        if spec is None or where not in self._paths:
            return None
        spec.loader = _Loader(fullname, spec.origin or "", self._bug, where)
        return spec


class _Loader(SourceFileLoader):
    def __init__(self, fullname: str, origin: str, bug: Bug, where: str) -> None:
        super().__init__(fullname, origin)
        self._bug = bug
        self._where = where

    def get_code(self, fullname: str) -> CodeType:
        source = self._bug.apply(self._where, Path(self.path).read_text())
        return compile(source, self.path, "exec", dont_inherit=True)
