"""Removes links, together those that are asked for together.

The kernel removes a link only when no processor can see it any more, which takes it 20 ms and more of mere waiting. It
waits once for all links of a group that are removed by one request. So whoever asks first has his link removed at
once, and those who ask meanwhile go together in the next round.

Invariant: when `remove` returns, the link is gone.
Source: Linux net/core/rtnetlink.c (rtnl_group_dellink), net/core/dev.c (unregister_netdevice_many).
"""

from __future__ import annotations

import errno
from dataclasses import dataclass, field

from agents.network.netlink import NetlinkError, NetlinkSocket
from agents.network.rtnetlink import encode
from api.runtime import Runtime


@dataclass(slots=True)
class _Asked:
    """A link to remove, and what became of that."""

    name: str
    done: bool = False
    error: NetlinkError | None = field(default_factory=lambda: NetlinkError(errno.EINTR, "the removal did not end"))


class LeavingLinks:
    """Any number of tasks at once; `kernel` is a socket of its own, whose sending holds up no other task."""

    def __init__(self, runtime: Runtime, kernel: NetlinkSocket) -> None:
        self._kernel = kernel
        self._changed = runtime.condition()
        self._asked: list[_Asked] = []
        self._removing = False

    def remove(self, name: str) -> None:
        """Remove the link of that name; nothing there is no error. Raises NetlinkError."""
        own = _Asked(name)
        with self._changed:
            self._asked.append(own)
            while self._removing and not own.done:
                self._changed.wait()
            if not own.done:
                self._removing = True
                together, self._asked = self._asked, []
        if not own.done:
            self._round(together)
        if own.error is not None:
            raise own.error

    def _round(self, together: list[_Asked]) -> None:
        try:
            self._remove(together)
        finally:
            with self._changed:
                for one in together:
                    one.done = True
                self._removing = False
                self._changed.notify_all()

    def _remove(self, together: list[_Asked]) -> None:
        outcomes = self._kernel.batch([encode.leave(one.name) for one in together])
        refused = None
        try:
            self._kernel.request(encode.delete_leaving())
        except NetlinkError as error:
            refused = _unless_gone(error)
        for one, outcome in zip(together, outcomes, strict=True):
            one.error = _unless_gone(outcome) or refused


def _unless_gone(error: NetlinkError | None) -> NetlinkError | None:
    return None if error is not None and error.code == errno.ENODEV else error
