"""Links that are removed while the kernel is at it go together, and each caller learns what became of its own."""

from __future__ import annotations

import errno
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from agents.network.leaving import LeavingLinks
from agents.network.netlink import Message, NetlinkError
from agents.network.rtnetlink import encode
from api.runtime import SystemRuntime

pytestmark = pytest.mark.unit


class Kernel:
    """Remembers which links left in one round; the first round lasts until it is told to end."""

    def __init__(self, refused: dict[str, int]) -> None:
        self.rounds: list[set[str]] = []
        self.begun, self.end, self.silent = threading.Event(), threading.Event(), threading.Event()
        self._names = {encode.leave(name): name for name in ("a", "b", "c", "d")}
        self._refused = refused

    def batch(self, messages: Sequence[Message]) -> list[NetlinkError | None]:
        names = [self._names[message] for message in messages]
        if self.silent.is_set():
            raise NetlinkError(errno.ETIMEDOUT)
        self.rounds.append(set(names))
        return [NetlinkError(self._refused[name]) if name in self._refused else None for name in names]

    def request(self, message: Message) -> None:
        assert message == encode.delete_leaving()
        self.begun.set()
        assert self.end.wait(10)
        if self.rounds[-1] <= self._refused.keys():
            raise NetlinkError(errno.ENODEV)


def test_who_asks_meanwhile_goes_in_the_next_round_together() -> None:
    kernel = Kernel({"c": errno.ENODEV, "d": errno.EPERM})
    leaving = LeavingLinks(SystemRuntime(), kernel)  # type: ignore[arg-type]
    with ThreadPoolExecutor() as pool:
        first = pool.submit(leaving.remove, "a")
        assert kernel.begun.wait(10)
        rest = {name: pool.submit(leaving.remove, name) for name in "bcd"}
        while len(leaving._asked) < len(rest):
            pass
        assert not first.done()
        kernel.end.set()
        outcomes = {name: one.exception(10) for name, one in (rest | {"a": first}).items()}
    assert kernel.rounds == [{"a"}, {"b", "c", "d"}]
    assert {name: error.code for name, error in outcomes.items() if isinstance(error, NetlinkError)} == {
        "d": errno.EPERM
    }


def test_nobody_takes_a_link_for_gone_that_the_kernel_did_not_speak_of() -> None:
    kernel = Kernel({})
    leaving = LeavingLinks(SystemRuntime(), kernel)  # type: ignore[arg-type]
    with ThreadPoolExecutor() as pool:
        first = pool.submit(leaving.remove, "a")
        assert kernel.begun.wait(10)
        rest = [pool.submit(leaving.remove, name) for name in "bc"]
        while len(leaving._asked) < len(rest):
            pass
        kernel.silent.set()
        kernel.end.set()
        assert first.exception(10) is None
        assert all(isinstance(one.exception(10), NetlinkError) for one in rest)
    kernel.silent.clear()
    leaving.remove("b")


def test_a_link_that_is_gone_is_no_error() -> None:
    kernel = Kernel({"a": errno.ENODEV})
    kernel.end.set()
    LeavingLinks(SystemRuntime(), kernel).remove("a")  # type: ignore[arg-type]
    assert kernel.rounds == [{"a"}]
