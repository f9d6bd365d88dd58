"""Mounting and unmounting, by the kernel's own calls.

Source: mount(2), umount2(2), proc_pid_mountinfo(5).
"""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

_NOSUID, _NODEV = 2, 4
_DETACH = 2
_LIBRARY = ctypes.CDLL(None, use_errno=True)


def mount_tmpfs(path: Path, size: int = 0, mode: str = "0777") -> None:
    """Mount a tmpfs of at most `size` bytes (0: the kernel's default). Raises OSError."""
    options = f"mode={mode}" + (f",size={size}" if size else "")
    flags = ctypes.c_ulong(_NOSUID | _NODEV)
    _check(path, _LIBRARY.mount(b"tmpfs", os.fsencode(path), b"tmpfs", flags, options.encode()))


def unmount(path: Path) -> None:
    """Unmount; lazily, so that a process that still holds a file does not keep the pod's directory. Raises OSError."""
    _check(path, _LIBRARY.umount2(os.fsencode(path), ctypes.c_int(_DETACH)))


def mounts_under(directory: Path) -> list[Path]:
    """Mount points at or below a directory, deepest first."""
    prefix = str(directory)
    found = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        point = line.split(" ")[4].replace("\\040", " ")
        if point == prefix or point.startswith(f"{prefix}/"):
            found.append(Path(point))
    return sorted(found, key=lambda point: len(point.parts), reverse=True)


def _check(path: Path, result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(path))
