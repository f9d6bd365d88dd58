"""Ends a connection whose far end has gone silent, also where something between answers for it.

TCP tells only of the next hop: behind a jump host or a proxy it goes on acknowledging for a host that is long gone. So
the SSH server itself is asked, whenever nothing was sent for a while, and has to say something.

Invariant: a connection is closed only after `count` questions in a row without an answer.
"""

from __future__ import annotations

import threading

import paramiko


class Liveness:
    """Asks one connection's server, after each `interval` seconds of silence; `count` questions may go unanswered."""

    def __init__(self, transport: paramiko.Transport, interval: int, count: int) -> None:
        self._transport = transport
        self._count = count
        self._unanswered = 0
        transport.packetizer.set_keepalive(interval, self._ask)

    def _ask(self) -> None:
        """Called on the thread that reads from the server, which must not wait for it here."""
        if self._unanswered >= self._count:
            self._transport.close()
            return
        self._unanswered += 1
        threading.Thread(target=self._wait, name="wherry-liveness", daemon=True).start()

    def _wait(self) -> None:
        try:
            self._transport.global_request("keepalive@openssh.com", wait=True)
        except (paramiko.SSHException, OSError, EOFError):
            return  # The reading thread learns the same, and tells those who wait.
        if self._transport.is_active():
            self._unanswered = 0
