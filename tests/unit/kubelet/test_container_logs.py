"""Logs that are begun anew while somebody reads them, and how many old ones are kept."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from agents.kubelet.log_rotation import rotate
from agents.kubelet.logs import LogOptions, missing, read_log
from agents.kubelet.pod_logs import PodLogs
from agents.kubelet.pods.results import with_results
from agents.kubelet.pods.view import PodView
from agents.kubelet.runtime.fake import FakeRuntime
from agents.kubelet.runtime.interface import Container, ContainerRuntimeError, ContainerSpec, PodIdentity, State
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


def test_a_follower_holds_no_file_that_was_begun_anew(tmp_path: Path) -> None:
    path = tmp_path / "0.log"
    path.write_text(line("one"))
    held: list[list[str]] = []

    def replace() -> None:
        path.unlink()
        path.write_text(line("two"))

    def look() -> None:
        held.append([entry for entry in map(os.path.realpath, Path("/proc/self/fd").iterdir()) if str(path) in entry])

    clock = Steps(replace, look)
    assert b"".join(read_log(path, LogOptions(follow=True), clock, lambda: not clock.left)) == b"one\ntwo\n"
    assert held == [[str(path)]]


def test_a_log_that_is_away_while_it_is_begun_anew_ends_no_follower(tmp_path: Path) -> None:
    path = tmp_path / "0.log"
    path.write_text(line("one"))

    class Fleeting(type(path)):  # type: ignore[misc]
        """A log that goes between being looked at and being opened anew."""

        opened = 0

        def open(self, *words: Any, **named: Any) -> Any:
            Fleeting.opened += 1
            if Fleeting.opened == 2:
                raise FileNotFoundError
            return super().open(*words, **named)

    def replace() -> None:
        path.unlink()
        path.write_text(line("two"))

    clock = Steps(replace, lambda: None, lambda: None)
    pieces = read_log(Fleeting(path), LogOptions(follow=True), clock, lambda: not clock.left)
    assert b"".join(pieces) == b"one\ntwo\n"


def test_a_log_that_is_not_there_is_told_of_in_the_originals_words(tmp_path: Path) -> None:
    path = tmp_path / "pod" / "0.log"
    said = f'failed to try resolving symlinks in path "{path}": lstat {{}}: no such file or directory'
    assert missing(path) == said.format(path.parent)
    path.parent.mkdir()
    assert missing(path) == said.format(path)
    path.touch()
    assert missing(path) == ""


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


T = "2016-10-20T18:39:"
LINES = (
    f"{T}20.57606443Z stdout F one\n{T}21Z stderr F two\n{T}22.5Z stdout P:TAG1:TAG2 th\n{T}23.5+02:00 stdout F ree\n"
)
# Source: kuberuntime/logs logs_test.go, by its kinds of cases.
READS: list[tuple[str, str, dict[str, Any], str]] = [
    ("all", LINES, {}, "one\ntwo\nthree\n"),
    ("a line in parts counts once", LINES, {"tail": 1}, "three\n"),
    ("more lines than there are", LINES, {"tail": 9}, "one\ntwo\nthree\n"),
    ("none", LINES, {"tail": 0}, ""),
    ("bytes", LINES, {"limit_bytes": 6}, "one\ntw"),
    ("no bytes", LINES, {"limit_bytes": 0}, ""),
    ("from a time on", LINES, {"since": 1476988761.0, "tail": 3}, "two\nth"),
    ("times have nine digits", LINES, {"timestamps": True},
     f"{T}20.576064430Z one\n{T}21Z two\n{T}22.500000000Z th{T}23.500000000+02:00 ree\n"),
    ("one stream", LINES, {"stream": "Stderr"}, "two\n"),
    ("what is no entry", f"unsupported log format test log\n{T}21Z other F x\n{T}20Z stdout F\n{LINES}", {},
     "one\ntwo\nthree\n"),
    ("an odd time is before all", "yesterday stdout F old\n" + line("new"), {"since": 0.0}, "new\n"),
    ("a last line without its end", LINES + f"{T}24Z stdout F last", {"tail": 1}, "three\nlast"),
]  # fmt: skip


@pytest.mark.parametrize(("content", "options", "wanted"), [pytest.param(*case[1:], id=case[0]) for case in READS])
def test_what_is_read_of_a_log(tmp_path: Path, content: str, options: dict[str, Any], wanted: str) -> None:
    path = tmp_path / "0.log"
    path.write_text(content)
    pieces = read_log(path, LogOptions(**options), SystemRuntime(), lambda: True)
    assert b"".join(pieces).decode() == wanted


FALLBACK = {"terminationMessagePolicy": "FallbackToLogsOnError"}
MESSAGES: list[tuple[str, str | None, str, dict[str, Any], int, str, str]] = [
    # (what, the container's file, its log, its spec, its status, what the runtime says, the message)
    ("what it wrote", "bye", "", {}, 0, "", "bye"),
    ("nothing", "", line("said"), {}, 1, "", ""),
    ("the end of much", "x" + "y" * 4096, "", {}, 0, "", "y" * 4096),
    ("the log of a failure", "", line("said"), FALLBACK, 1, "", "said\n"),
    ("the log where there is no file", None, line("said"), FALLBACK, 1, "", "said\n"),
    ("not of a success", "", line("said"), FALLBACK, 0, "", ""),
    ("what it wrote goes first", "bye", line("said"), FALLBACK, 1, "", "bye"),
    ("eighty lines", "", "".join(line(str(n)) for n in range(99)), FALLBACK, 1, "",
     "".join(f"{n}\n" for n in range(19, 99))),
    ("two thousand bytes", "", line("ä" * 3000), FALLBACK, 1, "", "\ufffd" + "ä" * 1023 + "\n"),
    ("beside what the runtime says", "bye", "", {}, 1, "it could not", "it could not: bye"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("file", "log", "spec", "code", "said", "wanted"), [pytest.param(*m[1:], id=m[0]) for m in MESSAGES]
)
def test_what_an_ended_container_says(
    tmp_path: Path, file: str | None, log: str, spec: dict[str, Any], code: int, said: str, wanted: str
) -> None:
    (tmp_path / "0.log").write_text(log)
    if file is not None:
        (tmp_path / "message").write_text(file)
    pod = {"spec": {"containers": [{"name": "app"} | spec]}}
    found = Container("c", PodIdentity("p", "n", "u"), "app", 0, "s", State.EXITED, "x", "x", exit_code=code,
                      log_path=str(tmp_path / "0.log"), message=said)  # fmt: skip
    view = PodView(containers=(found,))
    for _ in range(2):
        view = with_results(pod, view, lambda *_: tmp_path / "message", lambda _: False)
        assert view.containers[0].message == wanted
