"""Where a host goes next: blocks, rescue, always, includes, handlers. A script of outcomes gives an order of tasks."""

from __future__ import annotations

import pytest

from inventory.documents import Mark
from playbooks.engine.executor.batches import batches, too_many_failed
from playbooks.engine.executor.cursor import Cursor
from playbooks.engine.language.values import Block, Node, Scope, Task

pytestmark = pytest.mark.unit


def task(name: str) -> Task:
    return Task(name, "ping", {}, Mark("x", 1), Scope(), {}, (), frozenset(), {})


def nodes(shape: object) -> tuple[Node, ...]:
    """Names are tasks; a dict is a block with its parts."""
    assert isinstance(shape, list)
    return tuple(
        Block(nodes(item["block"]), nodes(item.get("rescue", [])), nodes(item.get("always", [])))
        if isinstance(item, dict)
        else task(item)
        for item in shape
    )


def walk(shape: list[object], failing: set[str], includes: dict[str, list[object]] | None = None) -> tuple[str, bool]:
    cursor = Cursor(nodes(shape))
    order = []
    while (current := cursor.task()) is not None:
        order.append(current.name)
        if current.name in failing:
            cursor.fail()
        elif includes and current.name in includes:
            cursor.insert(nodes(includes[current.name]))
        else:
            cursor.advance()
    return " ".join(order), cursor.failed


BLOCK = {"block": ["b1", "b2"], "rescue": ["r1", "r2"], "always": ["a1"]}
CASES: list[tuple[list[object], set[str], str, bool]] = [
    (["x", "y"], set(), "x y", False),
    (["x", "y"], {"x"}, "x", True),
    ([BLOCK, "z"], set(), "b1 b2 a1 z", False),
    ([BLOCK, "z"], {"b1"}, "b1 r1 r2 a1 z", False),
    ([BLOCK, "z"], {"b2", "r1"}, "b1 b2 r1 a1", True),
    ([BLOCK, "z"], {"b1", "a1"}, "b1 r1 r2 a1", True),
    ([{"block": ["b"], "always": ["a"]}, "z"], {"b"}, "b a", True),
    ([{"block": ["b"], "rescue": ["r"]}, "z"], {"b", "r"}, "b r", True),
    ([{"block": [{"block": ["b"], "always": ["a"]}, "c"], "rescue": ["r"]}, "z"], {"b"}, "b a r z", False),
    ([{"block": [{"block": ["b"], "rescue": ["r1"]}], "rescue": ["r2"]}, "z"], {"b", "r1"}, "b r1 r2 z", False),
    ([{"block": ["b"], "rescue": [{"block": ["c"], "rescue": ["d"]}]}, "z"], {"b", "c"}, "b c d z", False),
    ([{"block": []}, "z"], set(), "z", False),
]


@pytest.mark.parametrize(("shape", "failing", "order", "failed"), CASES)
def test_order(shape: list[object], failing: set[str], order: str, failed: bool) -> None:
    assert walk(shape, failing) == (order, failed)


def test_an_include_runs_in_its_place() -> None:
    assert walk(["x", "i", "z"], set(), {"i": ["p", "q"]}) == ("x i p q z", False)


def test_a_failure_in_an_include_reaches_the_block_around_it() -> None:
    shape: list[object] = [{"block": ["i"], "rescue": ["r"]}, "z"]
    assert walk(shape, {"q"}, {"i": ["p", "q"]}) == ("i p q r z", False)


def test_a_host_that_is_forgiven_in_an_always_goes_on_after_it() -> None:
    cursor = Cursor(nodes([{"block": [{"block": ["b"]}], "always": ["a"]}, "z"]))
    assert cursor.task() is not None
    cursor.fail()
    assert [cursor.task().name] == ["a"]  # type: ignore[union-attr]
    cursor.forgive()
    cursor.advance()
    after = cursor.task()
    assert after is not None and after.name == "z" and not cursor.failed


def test_a_host_inside_an_include_stands_before_one_that_passed_it() -> None:
    shape = nodes(["i", "z"])
    inside, past = Cursor(shape), Cursor(shape)
    inside.insert(nodes(["p"]))
    past.advance()
    assert inside.task() is not None and past.task() is not None
    assert inside.position < past.position


def test_will_be_rescued_says_what_fail_does() -> None:
    cursor = Cursor(nodes([BLOCK]))
    cursor.task()
    assert cursor.will_be_rescued()
    cursor.fail()
    cursor.task()
    assert not cursor.will_be_rescued()


@pytest.mark.parametrize(
    ("serial", "sizes"),
    [
        ([], [10]),
        ([3], [3, 3, 3, 1]),
        (["30%"], [3, 3, 3, 1]),
        ([1, 5], [1, 5, 4]),
        (["1%"], [1] * 10),
        ([1, "100%"], [1, 9]),
        ([0], [10]),
    ],
)
def test_batches(serial: list[object], sizes: list[int]) -> None:
    hosts = [f"h{number}" for number in range(10)]
    found = batches(hosts, serial)
    assert [len(batch) for batch in found] == sizes
    assert [host for batch in found for host in batch] == hosts


@pytest.mark.parametrize(
    ("failed", "maximum", "stop"), [(1, None, False), (3, 30, False), (4, 30, True), (1, 0, True), (0, 0, False)]
)
def test_max_fail_percentage(failed: int, maximum: int | None, stop: bool) -> None:
    assert too_many_failed(failed, 10, maximum) is stop
