"""Kernel parameters under /proc/sys/net, which follow the network namespace of the task that writes them.

Invariant: a parameter is written only if it has another value, so a read-only /proc is no obstacle when it is right.
"""

from __future__ import annotations

from pathlib import Path

_ROOT = Path("/proc/sys/net")


class SysctlError(Exception):
    """A parameter has the wrong value and cannot be changed."""


def names(directory: str) -> list[str]:
    """The names in `net.DIRECTORY`; none if the kernel does not have it."""
    path = _ROOT / directory
    return sorted(entry.name for entry in path.iterdir()) if path.is_dir() else []


def value(name: str) -> str:
    """What `net.NAME` is; "" if there is no such parameter."""
    try:
        return (_ROOT / name).read_text().strip()
    except OSError:
        return ""


def ensure(name: str, value: str, *, optional: bool = False) -> bool:
    """Give `net.NAME` (parts separated by /) the value; whether it had another. Raises SysctlError.

    An `optional` parameter may be missing: the kernel does not have what it governs.
    """
    path = _ROOT / name
    try:
        if path.read_text().strip() == value:
            return False
        path.write_text(value)
    except FileNotFoundError as error:
        if optional:
            return False
        raise SysctlError(f"net/{name} does not exist in this kernel") from error
    except OSError as error:
        raise SysctlError(f"net/{name} cannot be set to {value}: {error.strerror}") from error
    return True
