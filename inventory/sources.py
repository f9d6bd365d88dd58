"""Reads any number of inventory sources, whatever their kind, into one `Inventory`.

A source is a file (INI, YAML or JSON, told apart by name and content), an executable that prints JSON, a file of
`vagrant ssh-config` output, a directory of such files, a directory with a Vagrantfile, or `host1,host2,`.

Invariant: sources apply in the order given; the group_vars and host_vars beside each file are read once.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from inventory import executable, ini_source, vagrant, vault, yaml_source
from inventory.builder import Builder
from inventory.documents import read_text
from inventory.errors import InventoryError
from inventory.model import Inventory
from inventory.ranges import expand
from inventory.variables import read_directory, reveal

_IGNORED_SUFFIXES = (".pyc", ".pyo", ".swp", ".bak", "~", ".rpm", ".md", ".txt", ".rst", ".orig", ".cfg", ".retry")
_IGNORED_NAMES = ("group_vars", "host_vars", "vars_plugins", "ansible.cfg")


def load(sources: Iterable[str | Path], secrets: vault.Secrets = ()) -> Inventory:
    """All sources merged into one inventory. Raises InventoryError naming file and line."""
    builder = Builder()
    seen: set[Path] = set()
    for source in sources:
        _source(builder, str(source), secrets, seen)
    built = builder.build()
    for name, variables in built.hosts.items():
        reveal(variables, secrets, f"host {name}")
    for group in built.groups.values():
        reveal(group.variables, secrets, f"group {group.name}")
    return built


def _source(builder: Builder, source: str, secrets: vault.Secrets, seen: set[Path]) -> None:
    builder.source(source)
    if "," in source:
        for name in source.split(","):
            for host in expand(name.strip()) if name.strip() else ():
                builder.host(host)
        _beside(builder, Path(), secrets, seen)
        return
    path = Path(source)
    if not path.exists():
        raise InventoryError(f"{source}: no such inventory; give a file, a directory, or hosts with a comma")
    if path.is_dir():
        _directory(builder, path, secrets, seen)
    else:
        _file(builder, path)
        _beside(builder, path.parent, secrets, seen)


def _directory(builder: Builder, directory: Path, secrets: vault.Secrets, seen: set[Path]) -> None:
    if (directory / "Vagrantfile").is_file():
        vagrant.read(vagrant.ssh_config(directory), str(directory), builder)
        groups = vagrant.groups_file(directory, os.environ)
        if groups.is_file():
            _file(builder, groups)
    else:
        for entry in sorted(directory.iterdir()):
            hidden = entry.name.startswith(".") or entry.name.endswith(_IGNORED_SUFFIXES)
            if hidden or entry.name in _IGNORED_NAMES:
                continue
            if entry.is_dir():
                _directory(builder, entry, secrets, seen)
            else:
                _file(builder, entry)
    _beside(builder, directory, secrets, seen)


def _beside(builder: Builder, directory: Path, secrets: vault.Secrets, seen: set[Path]) -> None:
    resolved = directory.resolve()
    if resolved not in seen:
        seen.add(resolved)
        builder.directory(read_directory(directory, secrets))


def _file(builder: Builder, path: Path) -> None:
    if os.access(path, os.X_OK) and path.suffix not in (".yml", ".yaml", ".json", ".ini"):
        executable.read(path, builder)
        return
    text = read_text(path)
    if path.suffix in (".yml", ".yaml", ".json"):
        yaml_source.read(text, str(path), builder)
    elif vagrant.looks_like(text):
        vagrant.read(text, str(path), builder)
    elif path.suffix != ".ini" and _looks_like_yaml(text):
        yaml_source.read(text, str(path), builder)
    else:
        ini_source.read(text, str(path), builder)


def _looks_like_yaml(text: str) -> bool:
    """The first meaningful line decides: YAML begins with `---`, `{` or `name:`, INI with a host or `[group]`."""
    for line in text.splitlines():
        stripped = line.split(" #")[0].strip()
        if stripped and not stripped.startswith(("#", ";")):
            return stripped == "---" or stripped.startswith("{") or (stripped.endswith(":") and "=" not in stripped)
    return False
