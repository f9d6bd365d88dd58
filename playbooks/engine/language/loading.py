"""Finds and reads the files of a playbook, each once.

Invariant: the only part of the language that opens files; a missing one is an error at the place that names it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from inventory import vault
from inventory.documents import Mark, MarkedDict, MarkedList, parse, read_text
from inventory.errors import InventoryError
from inventory.variables import read_file, reveal
from playbooks.errors import NotFoundError, PlaybookError

_SUFFIXES = ("", ".yml", ".yaml", ".json")


class Loader:
    """Reads documents for one playbook; `extra` are the variables that file names of imports may use."""

    def __init__(
        self,
        directory: Path,
        secrets: vault.Secrets = (),
        extra: Mapping[str, Any] | None = None,
        roles_path: Iterable[str] = (),
    ) -> None:
        self.directory = directory
        self.secrets = secrets
        self.extra = extra or {}
        self._roles_path = tuple(roles_path)
        self._documents: dict[Path, Any] = {}

    def document(self, path: Path) -> Any:
        """The parsed document of a file. Raises PlaybookError."""
        resolved = path.absolute()
        if resolved not in self._documents:
            try:
                text = read_text(path)
                if vault.is_encrypted(text):
                    text = vault.decrypt(text, self.secrets, str(path))
                self._documents[resolved] = reveal(parse(text, path), self.secrets, str(path))
            except InventoryError as error:
                raise PlaybookError(str(error)) from error
        return self._documents[resolved]

    def sequence(self, path: Path, what: str) -> MarkedList:
        """A document that must be a list; an empty file is an empty one. Raises PlaybookError."""
        document = self.document(path)
        if document is None:
            return MarkedList(Mark(str(path), 1))
        if not isinstance(document, MarkedList):
            raise PlaybookError(f"{path}:1: {what} must be a list")
        return document

    def variables(self, path: Path) -> dict[str, Any]:
        """The variables of a file. Raises PlaybookError."""
        try:
            return read_file(path, self.secrets)
        except InventoryError as error:
            raise PlaybookError(str(error)) from error

    def role_part(self, role: Path, part: str, name: str = "main", mark: Mark | None = None) -> Path | None:
        """`tasks/main.yml` and the like; None if there is none, an error if `name` was asked for by `mark`."""
        for suffix in _SUFFIXES[1:] + _SUFFIXES[:1]:
            path = role / part / f"{name}{suffix}"
            if path.is_file():
                return path
        if name not in ("main", "argument_specs") and mark is not None:
            raise NotFoundError(f"{mark}: role {role.name!r} has no {part}/{name}.yml")
        return None

    def role_variables(self, role: Path, part: str, name: str, mark: Mark) -> dict[str, Any]:
        """A role's `defaults` or `vars`: one file, or all files of a directory `main/`."""
        directory = role / part / name
        if directory.is_dir():
            merged: dict[str, Any] = {}
            for path in sorted(directory.rglob("*")):
                if path.suffix in _SUFFIXES[1:]:
                    merged.update(self.variables(path))
            return merged
        file = self.role_part(role, part, name, mark)
        return self.variables(file) if file else {}

    def role(self, name: str, beside: Iterable[Path], mark: Mark) -> Path:
        """The directory of a role. Raises PlaybookError naming where it was looked for."""
        places = [*beside, self.directory / "roles", *map(Path, self._roles_path), self.directory]
        for place in places:
            if (place / name).is_dir():
                return place / name
        looked = ", ".join(dict.fromkeys(str(place) for place in places))
        raise NotFoundError(f"{mark}: the role {name!r} was not found in {looked}")


def mapping(value: Any, mark: Mark, what: str) -> MarkedDict:
    """`value` as a mapping; None is an empty one. Raises PlaybookError."""
    if value is None:
        return MarkedDict(mark)
    if not isinstance(value, MarkedDict):
        raise PlaybookError(f"{mark}: {what} must be a mapping")
    return value


def many(value: Any) -> tuple[Any, ...]:
    """One value or a list of them, as a tuple; None is none."""
    if value is None:
        return ()
    return tuple(value) if isinstance(value, list) else (value,)
