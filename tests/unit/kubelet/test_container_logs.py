"""Logs that are begun anew while somebody reads them, and how many old ones are kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agents.kubelet.log_rotation import rotate
from agents.kubelet.logs import LogOptions, read_log
from agents.kubelet.pod_logs import PodLogs
from agents.kubelet.runtime.fake import FakeRuntime
from agents.kubelet.runtime.interface import ContainerRuntimeError, ContainerSpec, PodIdentity
from api.runtime import SystemRuntime

pytestmark = pytest.mark.unit


POLICY = PodLogs(largest=20, files=5)


def line(text: str) -> str:
    return f"2026-01-01T00:00:00.000000000Z stdout F {text}\n"


class Steps(SystemRuntime):
    """A clock on which each sleep lets the next thing happen."""

    def __init__(self, *steps: Any) -> None:
        super().__init__()
        self.left = list(steps)

    def sleep(self, seconds: float) -> None:
        self.left.pop(0)()


def test_a_follower_goes_on_in_the_new_file(tmp_path: Path) -> None:
    path = tmp_path / "0.log"
    path.write_text(line("one"))

    def replace() -> None:
        with path.open("a") as old:
            old.write(line("two"))
        path.rename(tmp_path / "0.log.1")
        path.write_text(line("three"))

    clock = Steps(replace, lambda: None)
    pieces = read_log(path, LogOptions(follow=True), clock, lambda: not clock.left)
    assert b"".join(pieces) == b"one\ntwo\nthree\n"


def test_large_logs_are_put_aside_and_the_oldest_go(tmp_path: Path) -> None:
    runtime, path = FakeRuntime(SystemRuntime()), tmp_path / "0.log"
    pod = PodIdentity("p", "n", "u")
    runtime.start_container(runtime.create_container(ContainerSpec(pod, "app", 0, "s", "i", "x", str(path))))
    for stamp in range(100, 107):
        path.write_text("x" * 20)
        rotate(runtime, POLICY, str(stamp))
    path.write_text("small")
    rotate(runtime, POLICY, "999")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["0.log", *(f"0.log.{n}" for n in range(103, 107))]


def test_a_rotation_that_was_cut_short_is_finished(tmp_path: Path) -> None:
    asked: list[str] = []

    class Watched(FakeRuntime):
        def reopen_log(self, container_id: str) -> None:
            asked.append(container_id)

    runtime, path = Watched(SystemRuntime()), tmp_path / "0.log"
    pod = PodIdentity("p", "n", "u")
    container = runtime.create_container(ContainerSpec(pod, "app", 0, "s", "i", "x", str(path)))
    runtime.start_container(container)
    rotate(runtime, POLICY, "1")
    assert asked == []
    (tmp_path / "0.log.1").write_text("x")
    rotate(runtime, POLICY, "2")
    assert asked == [container]


def test_a_log_stays_where_it_is_if_the_runtime_will_not_follow(tmp_path: Path) -> None:
    class Stubborn(FakeRuntime):
        def reopen_log(self, container_id: str) -> None:
            raise ContainerRuntimeError("no")

    runtime, path = Stubborn(SystemRuntime()), tmp_path / "0.log"
    pod = PodIdentity("p", "n", "u")
    runtime.start_container(runtime.create_container(ContainerSpec(pod, "app", 0, "s", "i", "x", str(path))))
    path.write_text("x" * 20)
    rotate(runtime, POLICY, "1")
    assert [entry.name for entry in tmp_path.iterdir()] == ["0.log"]


def test_what_a_runtime_lets_go_of_by_itself_is_kept(tmp_path: Path) -> None:
    runtime, path = FakeRuntime(SystemRuntime()), tmp_path / "0.log"
    pod = PodIdentity("p", "n", "u")
    runtime.start_container(runtime.create_container(ContainerSpec(pod, "app", 0, "s", "i", "x", str(path))))

    def look(stamp: int) -> None:
        rotate(runtime, PodLogs(largest=20, files=3), str(stamp), by_itself=True)

    look(1)
    for stamp in range(2, 6):
        path.write_text("small")
        look(stamp * 10)
        path.write_text(f"nearly full {stamp}")
        look(stamp * 10 + 1)
        # The monitor of a container puts an empty file in the place of one that is full.
        (tmp_path / "0.log.tmp").touch()
        (tmp_path / "0.log.tmp").rename(path)
    look(99)
    kept = {entry.name: entry.read_text() for entry in tmp_path.iterdir()}
    assert kept == {"0.log": "", "0.log.50": "nearly full 4", "0.log.99": "nearly full 5"}
