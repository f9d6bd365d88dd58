"""Writes a volume's files so that a reader sees all of the old or all of the new.

The files lie in a directory of their own; `..data` is a symbolic link to it, and the names that users see are
links through `..data`. An update writes a new directory and renames a new `..data` over the old one.

Invariant: at any moment `..data` leads to a complete set of files.
Source: kubelet's volume/util AtomicWriter.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path, PurePosixPath

from agents.kubelet.volumes.payload import Payload, VolumeError

_DATA = "..data"
_NEW = "..data_tmp"


def write_payload(directory: Path, payload: Payload, stamp: str, group: int | None = None) -> bool:
    """Make the directory show `payload`; whether anything changed. `stamp` names the new set of files.

    Raises VolumeError for a path that leaves the volume, OSError if the disk refuses.
    """
    for name in payload:
        _check(name)
    directory.mkdir(parents=True, exist_ok=True)
    current = directory / _DATA
    shown = {PurePosixPath(name).parts[0] for name in payload}
    if current.is_symlink() and _same(current, payload):
        # The kubelet may have been killed before it had shown them.
        _show(directory, shown)
        return False
    fresh = directory / f"..{stamp}"
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(mode=0o755)
    for name, file in payload.items():
        target = fresh / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(file.content)
        target.chmod(file.mode if group is None else file.mode | 0o440)
        os.chown(target, -1 if file.user is None else file.user, -1 if group is None else group)
    old = current.readlink() if current.is_symlink() else None
    link = directory / _NEW
    link.unlink(missing_ok=True)
    link.symlink_to(fresh.name)
    link.replace(current)
    _show(directory, shown)
    if old is not None:
        shutil.rmtree(directory / old, ignore_errors=True)
    return True


def _check(name: str) -> None:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not path.parts or path.parts[0].startswith(".."):
        raise VolumeError(f"the path {name!r} must stay inside of its volume")


def _show(directory: Path, names: set[str]) -> None:
    """Links for the names that users see; those of names that are gone are removed."""
    for name in names:
        link = directory / name
        if not link.is_symlink():
            link.symlink_to(f"{_DATA}/{name}")
    for entry in directory.iterdir():
        if not entry.name.startswith("..") and entry.is_symlink() and entry.name not in names:
            entry.unlink()


def _same(current: Path, payload: Payload) -> bool:
    found = {str(entry.relative_to(current)) for entry in current.rglob("*") if entry.is_file()}
    if found != set(payload):
        return False
    return all((current / name).read_bytes() == file.content for name, file in payload.items())
