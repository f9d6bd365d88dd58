"""What the kernel says by itself of changes to links and their queueing disciplines, to know when looking is worth it.

Listing thirty links costs milliseconds, each time it is done; to ask whether anything was said costs microseconds.

Invariant: a change made after `anything` was last asked is never missed. When the kernel had more to say than the
socket holds, that counts as something said.
Source: Linux include/uapi/linux/rtnetlink.h (RTNLGRP_LINK, RTNLGRP_TC).
"""

from __future__ import annotations

import errno
import socket

_LINK_GROUP = 1 << 0
_QUEUEING_GROUP = 1 << 3
_RECEIVE_SIZE = 1 << 16


class LinkNotices:
    """The kernel's notices of the links of the caller's namespace, from now on."""

    def __init__(self) -> None:
        kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC
        self._socket = socket.socket(socket.AF_NETLINK, kind, socket.NETLINK_ROUTE)
        self._socket.settimeout(0.0)
        self._socket.bind((0, _LINK_GROUP | _QUEUEING_GROUP))

    def anything(self) -> bool:
        """Whether something was said since this was last asked; all of it is taken. Raises OSError."""
        said = False
        while True:
            try:
                self._socket.recv(_RECEIVE_SIZE)
            except BlockingIOError:
                return said
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
            said = True
