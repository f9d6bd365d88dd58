"""Mounting and unmounting, by the kernel's own calls.

Source: mount(2), umount2(2), proc_pid_mountinfo(5).
"""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

_RDONLY, _NOSUID, _NODEV = 1, 2, 4
_BIND, _PRIVATE = 1 << 12, 1 << 18
_DETACH = 2
# How often the list of mounts is read until nothing is left of what is to go.
_LOOKS = 5
_LIBRARY = ctypes.CDLL(None, use_errno=True)


def mount_tmpfs(path: Path, size: int = 0, mode: str = "0777", group: int = 0) -> None:
    """Mount a tmpfs of at most `size` bytes (0: the kernel's default). Raises OSError."""
    options = f"mode={mode}" + (f",gid={group}" if group else "") + (f",size={size}" if size else "")
    _mount(b"tmpfs", path, b"tmpfs", _NOSUID | _NODEV, options.encode())


def mount_huge_pages(path: Path, page: int, group: int = 0) -> None:
    """Mount a file system of huge pages of `page` bytes. Raises OSError."""
    _mount(b"nodev", path, b"hugetlbfs", _NOSUID | _NODEV, f"pagesize={page},mode=0777,gid={group}".encode())


def bind(source: Path, path: Path) -> None:
    """Mount a file or directory, without what is mounted below it, at another one. Raises OSError."""
    _mount(os.fsencode(source), path, None, _BIND, None)


def mount_described(kind: str, source: str, options: Sequence[str], path: Path) -> None:
    """Mount as a list of options says it: a bind mount, or one of another kind. Raises OSError."""
    if kind == "bind" or {"bind", "rbind"} & set(options):
        bind(Path(source), path)
        return
    flags = _RDONLY if "ro" in options else 0
    data = ",".join(option for option in options if option not in ("ro", "rw"))
    _mount(os.fsencode(source), path, os.fsencode(kind), flags, os.fsencode(data))


def unmount_under(directory: Path) -> None:
    """Unmount all at or below a directory; lazily, so that a process that still holds a file keeps nothing there.

    What is mounted below a bind mount is mounted below its source, too; there it stays. Raises OSError.
    """
    for _ in range(_LOOKS):
        points = mounts_under(directory)
        if not points:
            return
        for point in points:
            with _unless_gone():
                _mount(None, point, None, _PRIVATE, None)
        for point in points:
            with _unless_gone():
                _check(point, _LIBRARY.umount2(os.fsencode(point), ctypes.c_int(_DETACH)))
    raise OSError(errno.EBUSY, "mounts keep appearing", str(directory))


@contextmanager
def _unless_gone() -> Iterator[None]:
    """Another task may have unmounted it; and the kernel's list, read while mounts come and go, may name it twice."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOENT):
            raise


def mounts_under(directory: Path) -> list[Path]:
    """Mount points at or below a directory, deepest first."""
    prefix = str(directory)
    found = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        point = line.split(" ")[4].replace("\\040", " ")
        if point == prefix or point.startswith(f"{prefix}/"):
            found.append(Path(point))
    return sorted(found, key=lambda point: len(point.parts), reverse=True)


def _mount(source: bytes | None, path: Path, kind: bytes | None, flags: int, options: bytes | None) -> None:
    _check(path, _LIBRARY.mount(source, os.fsencode(path), kind, ctypes.c_ulong(flags), options))


def _check(path: Path, result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(path))
