"""HTTP over a unix socket, for `uri`."""

from __future__ import annotations

import http.client
import socket
import urllib.request
from typing import Any


class UnixHandler(urllib.request.AbstractHTTPHandler):
    """Opens http URLs through one socket."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self._path = path

    def http_open(self, request: urllib.request.Request) -> Any:
        """The response."""
        path = self._path

        class Connection(http.client.HTTPConnection):
            """Connects to the socket whatever the URL's host."""

            def connect(self) -> None:
                """Connect."""
                self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
                self.sock.settimeout(self.timeout)
                self.sock.connect(path)

        return self.do_open(Connection, request)
