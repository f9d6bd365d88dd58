"""Reads the `group_vars` and `host_vars` directories beside an inventory or a playbook.

Invariant: the first there is of `NAME` (a file, or a directory whose files count in the order of their paths),
`NAME.yml`, `NAME.yaml` and `NAME.json` says a name's variables, and no other.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from inventory import vault
from inventory.documents import EncryptedText, MarkedDict, parse, read_text
from inventory.errors import InventoryError
from inventory.model import DirectoryVariables, Variables

_SUFFIXES = ("", ".yml", ".yaml", ".json")


def read_directory(base: Path, secrets: vault.Secrets = ()) -> DirectoryVariables:
    """What `base/group_vars` and `base/host_vars` say; empty if there are none. Raises InventoryError."""
    return DirectoryVariables(_read_all(base / "group_vars", secrets), _read_all(base / "host_vars", secrets))


def read_file(path: Path, secrets: vault.Secrets = ()) -> Variables:
    """The variables in one YAML or JSON file, vault-encrypted or not. Raises InventoryError."""
    text = read_text(path)
    if vault.is_encrypted(text):
        text = vault.decrypt(text, secrets, str(path))
    document = parse(text, path)
    if document is None:
        return {}
    if not isinstance(document, MarkedDict):
        raise InventoryError(f"{path}:1: a variables file is a mapping of names to values")
    decrypted: Variables = reveal(document, secrets, str(path))
    return decrypted


def reveal(value: Any, secrets: vault.Secrets, where: str) -> Any:
    """`value` with every `!vault` scalar decrypted in place. Raises InventoryError."""
    if isinstance(value, EncryptedText):
        return vault.decrypt(value, secrets, where)
    if isinstance(value, dict):
        for key, item in value.items():
            value[key] = reveal(item, secrets, where)
    elif isinstance(value, list):
        value[:] = [reveal(item, secrets, where) for item in value]
    return value


def _read_all(directory: Path, secrets: vault.Secrets) -> dict[str, Variables]:
    chosen: dict[str, tuple[int, Path]] = {}
    if not directory.is_dir():
        return {}
    for entry in sorted(directory.iterdir()):
        if _hidden(entry) or (entry.is_file() and entry.suffix not in _SUFFIXES and not _plain_name(entry)):
            continue
        suffix = entry.suffix if entry.suffix in _SUFFIXES and not entry.is_dir() else ""
        rank = _SUFFIXES.index(suffix), entry
        name = entry.name.removesuffix(suffix)
        chosen[name] = min(rank, chosen.get(name, rank))
    return {
        name: _read_tree(entry, secrets) if entry.is_dir() else read_file(entry, secrets)
        for name, (_, entry) in chosen.items()
    }


def _read_tree(directory: Path, secrets: vault.Secrets) -> Variables:
    merged: Variables = {}
    for entry in sorted(directory.rglob("*")):
        if entry.is_file() and entry.suffix in _SUFFIXES and not _hidden(entry):
            merged.update(read_file(entry, secrets))
    return merged


def _hidden(entry: Path) -> bool:
    return entry.name.startswith(".") or entry.name.endswith("~")


def _plain_name(entry: Path) -> bool:
    """Host names have dots: `node1.example` is a name, `node1.bak` or `.retry` is not worth guessing about."""
    return entry.suffix not in (".bak", ".orig", ".retry", ".swp", ".pyc", ".md", ".txt")
