"""Named namespaces, as `ip netns` makes them: kept alive by a bind mount, not by a process.

Invariant: a task that enters a namespace leaves it before anything else can run on its thread: between the two
there are only system calls, nothing that waits.
Source: setns(2), unshare(2), ip-netns(8).
"""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path

DIRECTORY = "/run/netns"

_MS_BIND = 0x1000
_MS_REC = 0x4000
_MS_SHARED = 1 << 20
_MNT_DETACH = 2
_NSFS_MAGIC = 0x6E736673

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mount.argtypes = (ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_ulong, ctypes.c_void_p)


class Kind(Enum):
    """Which namespace of a task: its name below /proc/PID/ns and its flag of unshare(2)."""

    NETWORK = "net", 0x40000000
    IPC = "ipc", 0x08000000
    UTS = "uts", 0x04000000

    @property
    def own(self) -> str:
        """The namespace of the task that asks."""
        return f"/proc/thread-self/ns/{self.value[0]}"

    @property
    def flag(self) -> int:
        """The CLONE_NEW… flag."""
        return self.value[1]


def _call(function: Callable[..., int], *arguments: object) -> None:
    if function(*arguments) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def _mount(source: str, target: str, flags: int) -> None:
    _call(_libc.mount, source.encode(), target.encode(), b"none", flags, None)


@contextmanager
def inside(path: str | Path) -> Iterator[None]:
    """Run the body in the network namespace at `path`. The body must not wait for anything. Raises OSError."""
    home = os.open(Kind.NETWORK.own, os.O_RDONLY | os.O_CLOEXEC)
    try:
        target = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            _call(_libc.setns, target, Kind.NETWORK.flag)
        finally:
            os.close(target)
        try:
            yield
        finally:
            _call(_libc.setns, home, Kind.NETWORK.flag)
    finally:
        os.close(home)


def exists(path: str | Path) -> bool:
    """Whether a live namespace is mounted at `path` (a file without one is left by a crash)."""
    buffer = ctypes.create_string_buffer(256)
    if _libc.statfs(os.fsencode(path), buffer) != 0:
        return False
    return int.from_bytes(buffer.raw[:4], "little") == _NSFS_MAGIC


def create(path: Path, kind: Kind = Kind.NETWORK, first: Callable[[], None] = lambda: None) -> bool:
    """Make a namespace and mount it at `path`; False if there is one already. Raises OSError.

    `first` runs in it before anybody can find it, and must not wait for anything. The directory of `path` must be a
    shared mount or below one (`share`), so that others see what is mounted.
    """
    if exists(path):
        return False
    path.touch(mode=0o444)
    home = os.open(kind.own, os.O_RDONLY | os.O_CLOEXEC)
    try:
        _call(_libc.unshare, kind.flag)
        try:
            first()
            _mount(kind.own, str(path), _MS_BIND)
        finally:
            _call(_libc.setns, home, kind.flag)
    finally:
        os.close(home)
    return True


def adopt(path: Path, process: int, kind: Kind = Kind.NETWORK) -> None:
    """Mount a process's namespace at `path`, of which `create` says the rest. Raises OSError."""
    path.touch(mode=0o444)
    _mount(f"/proc/{process}/ns/{kind.value[0]}", str(path), _MS_BIND)


def remove(path: Path) -> None:
    """Unmount and unlink; the kernel ends the namespace once nothing uses it. Nothing there is no error."""
    while path.exists():
        try:
            _call(_libc.umount2, str(path).encode(), _MNT_DETACH)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.ENOENT):
                raise
            path.unlink(missing_ok=True)


def share(directory: Path) -> None:
    """Make the directory a shared mount, so that every mount namespace sees what is made and removed in it."""
    directory.mkdir(mode=0o755, parents=True, exist_ok=True)
    try:
        _mount("", str(directory), _MS_SHARED | _MS_REC)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        _mount(str(directory), str(directory), _MS_BIND | _MS_REC)
        _mount("", str(directory), _MS_SHARED | _MS_REC)
