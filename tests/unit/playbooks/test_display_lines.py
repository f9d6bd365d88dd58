"""What a person sees of a run, as lines."""

from __future__ import annotations

import io

import pytest

from inventory.documents import Mark
from playbooks.engine.connection.counted import CountedSink, CountedSource
from playbooks.engine.display.events import Finished, Status
from playbooks.engine.display.lines import Lines
from playbooks.engine.display.pending import pending
from playbooks.engine.language.values import Scope, Task
from playbooks.engine.result import Counts, Failure, Result

pytestmark = pytest.mark.unit

MANY = {f"n{number}": 1.0 for number in range(8)}
PENDING = [
    ({"b": 3.2, "a": 1.0}, {}, "… running 3 s on a, b"),
    ({"a": 1.0}, {"a": (2_500_000, 10_000_000)}, "… running 1 s on a (25 % of 10.0 MB)"),
    ({"a": 1.0}, {"a": (2_500_000, 0)}, "… running 1 s on a (2.5 MB)"),
    ({"a": 1.0}, {"z": (1, 2)}, "… running 1 s on a"),
    (MANY, {}, "… running 1 s on n0, n1, n2, n3, n4, n5 and 2 more"),
]


@pytest.mark.parametrize(("waited", "moved", "line"), PENDING)
def test_what_is_pending(waited: dict[str, float], moved: dict[str, tuple[int, int]], line: str) -> None:
    assert pending(waited, moved) == line


def test_a_file_tells_how_much_of_it_has_gone() -> None:
    told: list[tuple[int, int]] = []
    source = io.BytesIO(b"skip12345")
    source.seek(4)
    counted = CountedSource(source, lambda moved, size: told.append((moved, size)))
    assert [counted.read(3), counted.read(3), counted.read(3)] == [b"123", b"45", b""]
    assert told == [(3, 5), (5, 5), (5, 5)]


def test_a_sink_tells_how_much_has_come() -> None:
    told: list[tuple[int, int]] = []
    taken = io.BytesIO()
    sink = CountedSink(taken, lambda moved, size: told.append((moved, size)))
    sink.write(b"ab")
    sink.write(b"cde")
    assert (taken.getvalue(), told) == (b"abcde", [(2, 0), (5, 0)])


def test_a_message_is_shown_also_where_it_counts_as_a_change() -> None:
    stream = io.StringIO()
    task = Task("say", "debug", {}, Mark("x", 1), Scope(), {}, (), frozenset(), {})
    Lines(stream).task_finished(Finished("one", task, Status.CHANGED, {"msg": "done", "changed": True}, 0.0))
    assert '"msg": "done"' in stream.getvalue()


def test_the_last_line_of_a_failed_run_says_which_host_which_task_why_and_where() -> None:
    stream = io.StringIO()
    lost = Failure("one", "copy it", "site.yml:7", "no space left")
    Lines(stream).finished(Result({"one": Counts(ok=2, changed=1, failed=1)}, (lost,), 1.25))
    lines = stream.getvalue().splitlines()
    assert lines[-1] == "one: task 'copy it' (site.yml:7) failed: no space left"
    assert any(line.startswith("one") and "failed=1" in line for line in lines)
    assert "1 changed, 1.2 s" in lines
