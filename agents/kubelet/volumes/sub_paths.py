"""A part of a volume as a mount of its own, found without trusting what the volume's users do meanwhile.

A container that shares the volume may put a link in the place of a directory at any moment. So a path is looked at,
then opened step by step from the volume down, and what was opened is mounted, not what the path names by then.

Invariant: what is mounted lies in the volume. A link counts for where it led when it was looked at; one that comes
afterwards is refused. What lies outside is not told to the user, whose link it was that led there.
Source: volume/util/subpath subpath_linux.go.
"""

from __future__ import annotations

import errno
import logging
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from agents.kubelet.volumes.mounts import bind, unmount_under
from agents.kubelet.volumes.payload import VolumeError

log = logging.getLogger(__name__)

_STEP = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_LARGEST_FILE = 64 * 1024
_MADE = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def bind_sub_path(volume: Path, relative: str, target: Path, mount: str, container: str, *, make: bool = True) -> None:
    """Mount what `relative` names in the volume at `target`; with `make` a directory of the volume's mode is made if
    nothing is there. `mount` and `container` say whom it is for. Raises VolumeError.
    """
    if relative.startswith("/"):
        raise VolumeError(f"error SubPath `{relative}` must not be an absolute path")
    if ".." in Path(relative).parts:
        raise VolumeError(f"unable to provision SubPath `{relative}`: must not contain '..'")
    step, whom = "create subPath directory", f'for volumeMount "{mount}" of container "{container}"'
    try:
        root = volume.resolve(strict=True)
        if make and not (root / relative).exists():
            _make(root, relative)
        step = "prepare subPath"
        with _opened(root, _resolved(root / relative)) as found:
            _bind_anew(found, target)
    except OSError as error:
        log.info("the sub path %s of volume %s: %s", relative, volume, error)
        raise VolumeError(f"failed to {step} {whom}") from error


def read_file(volume: Path, relative: str) -> str:
    """The text of a file of the volume. Raises OSError; also for what is no file, is too large, or lies outside."""
    root = volume.resolve(strict=True)
    with _opened(root, _resolved(root / relative)) as found:
        status = os.fstat(found)
        if not stat.S_ISREG(status.st_mode) or status.st_size > _LARGEST_FILE:
            raise OSError(errno.EINVAL, f"it is no file of at most {_LARGEST_FILE} bytes", relative)
        return Path(f"/proc/self/fd/{found}").read_bytes().decode("utf-8", "replace")


def _resolved(path: Path) -> Path:
    """Where a path leads now; unlike `Path.resolve` it says of a loop what the kernel says. Raises OSError."""
    return Path(os.path.realpath(path, strict=True))


@contextmanager
def _opened(root: Path, path: Path) -> Iterator[int]:
    """A descriptor of `path`, every part of which below `root` is what its name says. Raises OSError."""
    if not path.is_relative_to(root):
        raise OSError(errno.EXDEV, "it leads out of the volume", str(path))
    found = os.open(root, _STEP)
    try:
        for name in path.relative_to(root).parts:
            found = _replaced(found, os.open(name, _STEP, dir_fd=found))
            if stat.S_ISLNK(os.fstat(found).st_mode):
                raise OSError(errno.ELOOP, "it has become a link", str(path))
        yield found
    finally:
        os.close(found)


def _make(root: Path, relative: str) -> None:
    """Directories for the part of a path that is not there, which whom the volume is for may use. Raises OSError."""
    mode = stat.S_IMODE(root.stat().st_mode)
    existing, missing = root, list(Path(relative).parts)
    while missing and (existing / missing[0]).exists():
        existing /= missing.pop(0)
    with _opened(root, _resolved(existing)) as found:
        parent = os.dup(found)
    try:
        for name in missing:
            os.mkdir(name, dir_fd=parent)
            parent = _replaced(parent, os.open(name, _MADE, dir_fd=parent))
            # The mode that mkdir takes is less what the kubelet's umask forbids.
            os.fchmod(parent, mode)
    finally:
        os.close(parent)


def _replaced(old: int, new: int) -> int:
    os.close(old)
    return new


def _bind_anew(found: int, target: Path) -> None:
    """Mount what is open at `target`, where the container's predecessor may have had another part."""
    unmount_under(target)
    if target.is_dir():
        target.rmdir()
    else:
        target.unlink(missing_ok=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    if stat.S_ISDIR(os.fstat(found).st_mode):
        target.mkdir()
    else:
        target.touch()
    bind(Path(f"/proc/self/fd/{found}"), target)
