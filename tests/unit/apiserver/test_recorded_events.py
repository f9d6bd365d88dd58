"""Events as they are found by who looks for them: counted, and combined where only their words differ."""

from __future__ import annotations

import pytest

from api.client import Client
from api.events import EventRecorder
from api.runtime import SystemRuntime
from api.similar_events import MOST, QUIET, SimilarEvents

pytestmark = pytest.mark.unit

NODE = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node1", "uid": "node1"}}


def told(client: Client) -> list[tuple[str, str, int]]:
    """Reason, message and count of every event, oldest first."""
    found = sorted(client.list("events", "default").items, key=lambda event: int(event["metadata"]["resourceVersion"]))
    return [(event["reason"], event["message"], event["count"]) for event in found]


def test_what_is_said_again_is_counted(client: Client) -> None:
    recorder = EventRecorder(client, SystemRuntime(), "tester")
    for _ in range(3):
        recorder.warning(NODE, "Broken", "it is broken")
    recorder.normal(NODE, "Broken", "it is broken")
    assert told(client) == [("Broken", "it is broken", 3), ("Broken", "it is broken", 1)]


def test_what_differs_in_its_words_alone_becomes_one_that_tells_the_last(client: Client) -> None:
    recorder = EventRecorder(client, SystemRuntime(), "tester")
    for number in range(MOST + 3):
        recorder.warning(NODE, "Broken", f"part {number} is broken")
    recorder.warning(NODE, "Broken", "part 0 is broken")
    recorder.warning(NODE, "Lost", "part 0 is lost")
    assert told(client) == [
        *(("Broken", f"part {number} is broken", 1) for number in range(1, MOST)),
        ("Broken", f"(combined from similar events): part {MOST + 2} is broken", 3),
        ("Broken", "part 0 is broken", 2),
        ("Lost", "part 0 is lost", 1),
    ]


def test_after_a_while_of_silence_each_stands_for_itself_again() -> None:
    similar = SimilarEvents()
    assert not any(similar.is_one_too_many("node1", f"part {number}", 0.0) for number in range(MOST))
    assert similar.is_one_too_many("node1", "one more", QUIET)
    assert not similar.is_one_too_many("node2", "one more", QUIET)
    assert not similar.is_one_too_many("node1", "one more", 2 * QUIET + 1)
