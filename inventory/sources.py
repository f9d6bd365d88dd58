"""Reads any number of inventory sources, whatever their kind, into one `Inventory`.

A source is a file (INI, YAML or JSON, told apart by name and content), an executable that prints JSON, a file of
`vagrant ssh-config` output, a directory of such files, a directory with a Vagrantfile, or `host1,host2,`.

Invariant: sources apply in the order given; the group_vars and host_vars beside each file are read once.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from inventory import executable, ini_source, vagrant, vault, yaml_source
from inventory.builder import Builder
from inventory.documents import read_text
from inventory.errors import InventoryError
from inventory.model import Inventory
from inventory.variables import read_directory, reveal

_IGNORED_SUFFIXES = (".pyc", ".pyo", ".swp", ".bak", "~", ".rpm", ".md", ".txt", ".rst", ".orig", ".cfg", ".retry")
_WITH_PORT = re.compile(r"^(?P<host>\[[0-9a-fA-F:.]+\]|[^:\[\]]+):(?P<port>\d+)$")
_IGNORED_NAMES = ("group_vars", "host_vars", "vars_plugins", "ansible.cfg")


@dataclass
class _Reading:
    """What reading several sources has come to so far."""

    secrets: vault.Secrets
    builder: Builder = field(default_factory=Builder)
    seen: set[Path] = field(default_factory=set)
    parsed: int = 0
    faults: list[InventoryError] = field(default_factory=list)


def load(sources: Iterable[str | Path], secrets: vault.Secrets = ()) -> Inventory:
    """All sources merged into one inventory; a file that cannot be read is told of in its `warnings`.

    Raises InventoryError naming file and line when none can be read, and for variables beside them in any case.
    """
    reading = _Reading(secrets)
    for source in sources:
        _source(reading, str(source))
    if reading.faults and not reading.parsed:
        raise reading.faults[0]
    built = reading.builder.build(tuple(f"{fault}; this source is left out" for fault in reading.faults))
    for name, variables in built.hosts.items():
        reveal(variables, secrets, f"host {name}")
    for group in built.groups.values():
        reveal(group.variables, secrets, f"group {group.name}")
    return built


def _source(reading: _Reading, source: str) -> None:
    reading.builder.source(source)
    if "," in source:
        for name in filter(None, map(str.strip, source.split(","))):
            _named(reading.builder, name)
        reading.parsed += 1
        _beside(reading, Path())
        return
    path = Path(source)
    if path.is_dir():
        _directory(reading, path)
    else:
        _attempt(reading, path)
        _beside(reading, path.parent)


def _named(builder: Builder, name: str) -> None:
    """A host of a list on the command line, with its port; ranges are for files."""
    found = _WITH_PORT.match(name)
    builder.host(found["host"].strip("[]"), "all", {"ansible_port": int(found["port"])}) if found else builder.host(
        name
    )


def _attempt(reading: _Reading, path: Path) -> None:
    try:
        if not path.exists():
            raise InventoryError(f"{path}: no such inventory; give a file, a directory, or hosts with a comma")
        _file(reading.builder, path)
        reading.parsed += 1
    except InventoryError as error:
        reading.faults.append(error)


def _directory(reading: _Reading, directory: Path) -> None:
    if (directory / "Vagrantfile").is_file():
        vagrant.read(vagrant.ssh_config(directory), str(directory), reading.builder)
        reading.parsed += 1
        groups = vagrant.groups_file(directory, os.environ)
        if groups.is_file():
            _attempt(reading, groups)
    else:
        for entry in sorted(directory.iterdir()):
            hidden = entry.name.startswith(".") or entry.name.endswith(_IGNORED_SUFFIXES)
            if hidden or entry.name in _IGNORED_NAMES:
                continue
            if entry.is_dir():
                _directory(reading, entry)
            else:
                _attempt(reading, entry)
    _beside(reading, directory)


def _beside(reading: _Reading, directory: Path) -> None:
    resolved = directory.resolve()
    if resolved not in reading.seen:
        reading.seen.add(resolved)
        reading.builder.directory(read_directory(directory, reading.secrets))


def _file(builder: Builder, path: Path) -> None:
    if os.access(path, os.X_OK) and path.suffix not in (".yml", ".yaml", ".json", ".ini"):
        executable.read(path, builder)
        return
    if path.suffix == ".toml":
        raise InventoryError(f"{path}: inventories in TOML are not read; write it as YAML, which has the same form")
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
