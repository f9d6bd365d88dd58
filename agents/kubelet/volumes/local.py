"""Removes the directories of local-path volumes that their claims have given up.

The controller of volumes decides and asks; the node only checks that it is asked for such a directory.

Invariant: nothing but a real directory that bears a volume's generated name is removed, and no link is followed.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from agents.kubelet.volumes.mounts import mounts_under
from agents.kubelet.volumes.payload import VolumeError

_GENERATED = re.compile(r"pvc-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def remove_directory(path: Path) -> None:
    """Remove it with all that it holds; it may be gone already. Raises VolumeError, OSError."""
    if not path.is_absolute() or ".." in path.parts or not _GENERATED.fullmatch(path.name):
        raise VolumeError(f"{path} is not the directory of a provisioned volume")
    if path.is_symlink() or (path.exists() and not path.is_dir()):
        raise VolumeError(f"{path} is not a directory")
    mounted = mounts_under(path)
    if mounted:
        raise VolumeError(f"{path} is in use: {mounted[0]} is mounted")
    if path.exists():
        shutil.rmtree(path)
