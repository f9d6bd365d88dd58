"""Named network namespaces, as `ip netns` makes them: kept alive by a bind mount, not by a process.

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
from pathlib import Path

DIRECTORY = "/run/netns"

_CLONE_NEWNET = 0x40000000
_MS_BIND = 0x1000
_MS_REC = 0x4000
_MS_SHARED = 1 << 20
_MNT_DETACH = 2
_NSFS_MAGIC = 0x6E736673
_OWN = "/proc/thread-self/ns/net"

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mount.argtypes = (ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_ulong, ctypes.c_void_p)


def _call(function: Callable[..., int], *arguments: object) -> None:
    if function(*arguments) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def _mount(source: str, target: str, flags: int) -> None:
    _call(_libc.mount, source.encode(), target.encode(), b"none", flags, None)


@contextmanager
def inside(path: str | Path) -> Iterator[None]:
    """Run the body in the network namespace at `path`. The body must not wait for anything. Raises OSError."""
    home = os.open(_OWN, os.O_RDONLY | os.O_CLOEXEC)
    try:
        target = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            _call(_libc.setns, target, _CLONE_NEWNET)
        finally:
            os.close(target)
        try:
            yield
        finally:
            _call(_libc.setns, home, _CLONE_NEWNET)
    finally:
        os.close(home)


def exists(path: str | Path) -> bool:
    """Whether a live namespace is mounted at `path` (a file without one is left by a crash)."""
    buffer = ctypes.create_string_buffer(256)
    if _libc.statfs(os.fsencode(path), buffer) != 0:
        return False
    return int.from_bytes(buffer.raw[:4], "little") == _NSFS_MAGIC


def create(path: Path) -> bool:
    """Make a namespace and mount it at `path`; False if there is one already. Raises OSError."""
    if exists(path):
        return False
    _prepare(path.parent)
    path.touch(mode=0o444)
    home = os.open(_OWN, os.O_RDONLY | os.O_CLOEXEC)
    try:
        _call(_libc.unshare, _CLONE_NEWNET)
        try:
            _mount(_OWN, str(path), _MS_BIND)
        finally:
            _call(_libc.setns, home, _CLONE_NEWNET)
    finally:
        os.close(home)
    return True


def remove(path: Path) -> None:
    """Unmount and unlink; the kernel ends the namespace once nothing uses it. Nothing there is no error."""
    while path.exists():
        try:
            _call(_libc.umount2, str(path).encode(), _MNT_DETACH)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.ENOENT):
                raise
            path.unlink(missing_ok=True)


def _prepare(directory: Path) -> None:
    """Make the directory a shared mount, so that every mount namespace sees what is made and removed in it."""
    directory.mkdir(mode=0o755, parents=True, exist_ok=True)
    try:
        _mount("", str(directory), _MS_SHARED | _MS_REC)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        _mount(str(directory), str(directory), _MS_BIND | _MS_REC)
        _mount("", str(directory), _MS_SHARED | _MS_REC)
