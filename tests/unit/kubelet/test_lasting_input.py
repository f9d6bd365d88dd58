"""Whoever attaches to a container that reads on may leave, and the container does not notice."""

from __future__ import annotations

import queue

import pytest

from agents.kubelet.runtime.interface import STDOUT
from agents.kubelet.streaming.lasting_input import LastingInput
from api.runtime import SystemRuntime

pytestmark = pytest.mark.unit


class _Container:
    """The runtime's side of an attachment."""

    def __init__(self) -> None:
        self.output: queue.Queue[tuple[int, bytes] | None] = queue.Queue()
        self.closed: queue.Queue[bool] = queue.Queue()
        self.input = b""

    def read(self) -> tuple[int, bytes] | None:
        return self.output.get(timeout=10)

    def write(self, data: bytes) -> None:
        self.input += data

    def exit_code(self) -> int:
        return 0

    def close(self) -> None:
        self.closed.put(True)


def test_the_end_of_the_clients_input_ends_the_attachment_and_not_the_containers_input() -> None:
    container = _Container()
    session = LastingInput(SystemRuntime(), container)  # type: ignore[arg-type]
    session.write(b"hello")
    container.output.put((STDOUT, b"hello"))
    assert session.read() == (STDOUT, b"hello")
    session.close_stdin()
    assert session.read() is None
    session.close()
    # Nobody takes these, and the container gets rid of them all the same.
    for _ in range(100):
        container.output.put((STDOUT, b"more"))
    assert (container.input, container.closed.empty()) == (b"hello", True)
    container.output.put(None)
    assert container.closed.get(timeout=10)


def test_the_end_of_the_container_ends_the_attachment_after_its_last_words() -> None:
    container = _Container()
    session = LastingInput(SystemRuntime(), container)  # type: ignore[arg-type]
    for frame in ((STDOUT, b"a"), (STDOUT, b"b"), None):
        container.output.put(frame)
    assert [session.read() for _ in range(3)] == [(STDOUT, b"a"), (STDOUT, b"b"), None]
