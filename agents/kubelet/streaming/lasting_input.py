"""An attachment that ends when its client's input does, to a container that goes on reading (`stdinOnce: false`).

The runtime's connection is kept until the container ends: Podman ends a container's input with whoever gave it.

Invariant: the client gets what came out before it let go; what comes later is read and dropped, so that the container
is never held up.
Source: "stdinOnce" of the Container API; the CRI's Attach.
"""

from __future__ import annotations

from collections import deque

from agents.kubelet.runtime.interface import Session
from api.runtime import Runtime

_AHEAD = 16


class LastingInput:
    """A session around the runtime's, which it closes only when the container has ended."""

    def __init__(self, clock: Runtime, session: Session) -> None:
        self._session = session
        self._changed = clock.condition()
        self._frames: deque[tuple[int, bytes]] = deque()
        self._left = False
        self._ended = False
        clock.spawn("lasting-input", self._drain)

    def read(self) -> tuple[int, bytes] | None:
        """The next frame; None once the client has let go or the container has ended."""
        with self._changed:
            while not (self._frames or self._left or self._ended):
                self._changed.wait()
            frame = self._frames.popleft() if self._frames else None
            self._changed.notify_all()
            return frame

    def write(self, data: bytes) -> None:
        """Give bytes to the container."""
        self._session.write(data)

    def close_stdin(self) -> None:
        """The client has no more to say: it lets go, and the container waits for the next one."""
        self.close()

    def resize(self, width: int, height: int) -> None:
        """Set the terminal's size."""
        self._session.resize(width, height)

    def exit_code(self) -> int:
        """An attachment has none."""
        return self._session.exit_code()

    def kill(self) -> None:
        """The container goes on."""

    def close(self) -> None:
        """Let go of the container, not of the connection."""
        with self._changed:
            self._left = True
            self._changed.notify_all()

    def _drain(self) -> None:
        while (frame := self._session.read()) is not None:
            with self._changed:
                while len(self._frames) >= _AHEAD and not self._left:
                    self._changed.wait()
                if not self._left:
                    self._frames.append(frame)
                    self._changed.notify_all()
        self._session.close()
        with self._changed:
            self._ended = True
            self._changed.notify_all()
