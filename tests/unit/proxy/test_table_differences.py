"""Changes: what one part's change means for the whole, and the messages that make it so."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from service_objects import endpoint_slice, entry, service

from agents.network import conntrack
from agents.network.conntrack import Flow, Frontend
from agents.network.nftables import encode, table
from agents.network.nftables.encode import Encoder
from agents.network.nftables.values import TCP, UDP, Endpoint, Ruleset, union
from agents.proxy import rules
from agents.proxy.composition import Composition
from agents.proxy.endpoints import NodeView

pytestmark = pytest.mark.unit

NODE = NodeView("one")
CLUSTER = ("10.244.0.0/16",)


def part(number: int, size: int, *, sticky: bool, external: bool) -> Ruleset:
    """The part of a service with so many endpoints; some share pods, chains and an external address."""
    more: dict = {"sessionAffinity": "ClientIP"} if sticky else {}
    more |= {"externalIPs": ["192.0.2.7"]} if external else {}
    entries = [entry(f"10.244.1.{index + 2}", "one") for index in range(size)]
    obj = service(f"s{number}", f"10.96.0.{number}", **more)
    return rules.service_rules(obj, [endpoint_slice(*entries)], NODE, CLUSTER).ruleset


PARTS = st.builds(part, st.integers(1, 3), st.integers(0, 3), sticky=st.booleans(), external=st.booleans())
STEPS = st.lists(st.tuples(st.sampled_from("abc"), st.none() | PARTS), max_size=12)


@settings(max_examples=80, deadline=None)
@given(STEPS)
def test_the_sum_of_changes_is_the_whole(steps: list[tuple[str, Ruleset | None]]) -> None:
    base = rules.base(CLUSTER)
    composition = Composition(base)
    chains, sets = dict(base.chains), dict(base.sets)
    elements = {name: dict(entries) for name, entries in base.elements.items()}
    for owner, new in steps:
        before, after = composition.replace(owner, new)
        for mine, gone, came in ((chains, before.chains, after.chains), (sets, before.sets, after.sets)):
            for name in gone:
                del mine[name]
            mine.update(came)
        for name in before.elements:
            for key in before.elements[name]:
                del elements[name][key]
            elements[name].update(after.elements[name])
        whole = composition.whole()
        assert (chains, sets) == (whole.chains, whole.sets)
        assert elements == {name: dict(entries) for name, entries in whole.elements.items()}


def test_what_is_shared_goes_with_the_last_owner() -> None:
    composition = Composition(rules.base(CLUSTER))
    composition.replace("a", part(1, 2, sticky=False, external=False))
    composition.replace("b", part(2, 2, sticky=False, external=False))
    before, after = composition.replace("a", None)
    assert "spread-2" in after.chains
    assert before.elements["hairpin"] == after.elements["hairpin"]
    before, after = composition.replace("b", None)
    assert "spread-2" not in after.chains
    assert not after.elements["hairpin"]


def messages_between(old: Ruleset, new: Ruleset) -> list[int]:
    """The kinds of messages that lead from one whole table to another."""
    encoder = Encoder("wherry")
    contents = []
    for ruleset in (old, new):
        content = table.content_of(ruleset, encoder)
        content.elements = table.encode_elements(ruleset, ruleset.sets, encoder)
        contents.append(content)
    return [message.type & 0xFF for message in table.difference(*contents, new, encoder).messages]


def whole(*parts: Ruleset) -> Ruleset:
    return union([rules.base(CLUSTER), *parts])


@pytest.mark.parametrize(("old", "new", "expected"), [
    pytest.param(whole(), whole(), [], id="nothing"),
    pytest.param(
        whole(part(1, 2, sticky=False, external=False)), whole(part(1, 2, sticky=False, external=False)), [],
        id="equal",
    ),
    pytest.param(
        whole(part(1, 3, sticky=False, external=False), part(2, 2, sticky=False, external=False)),
        whole(part(1, 2, sticky=False, external=False), part(2, 2, sticky=False, external=False)),
        [encode.DELETE_ELEMENT] * 3 + [encode.DELETE_RULE, encode.NEW_ELEMENT, encode.DELETE_CHAIN],
        id="one endpoint less",
    ),
    pytest.param(
        whole(part(1, 1, sticky=True, external=False)), whole(),
        [encode.DELETE_ELEMENT] * 3 + [encode.DELETE_RULE] * 2 + [encode.DELETE_CHAIN] * 2 + [encode.DELETE_SET],
        id="a service with a chain of its own goes",
    ),
])  # fmt: skip
def test_only_differences_are_sent_in_an_order_that_works(old: Ruleset, new: Ruleset, expected: list[int]) -> None:
    assert messages_between(old, new) == expected


def test_a_fingerprint_follows_from_the_rule_alone() -> None:
    one, two = (part(1, 2, sticky=False, external=False).chains["spread-2"] for _ in range(2))
    other = part(1, 3, sticky=False, external=False).chains["spread-3"]
    assert encode.fingerprint(one.rules[0]) == encode.fingerprint(two.rules[0])
    assert encode.fingerprint(one.rules[0]) != encode.fingerprint(other.rules[0])


FRONT, NODE_PORT = Frontend("10.96.0.10", UDP, 53), Frontend("", UDP, 30053)
GOOD, GONE = Endpoint("10.244.1.2", 5353), Endpoint("10.244.1.9", 5353)
BACKENDS = {FRONT: frozenset({GOOD}), NODE_PORT: frozenset({GOOD})}


@pytest.mark.parametrize(("destination", "answering", "forgotten"), [
    (Endpoint("10.96.0.10", 53), GOOD, False),
    (Endpoint("10.96.0.10", 53), GONE, True),
    (Endpoint("10.96.0.10", 53), Endpoint("10.96.0.10", 53), True),
    (Endpoint("10.96.0.99", 53), GONE, False),
    (Endpoint("192.168.9.11", 30053), GONE, True),
    (Endpoint("192.168.9.11", 30053), GOOD, False),
    (Endpoint("203.0.113.5", 30053), GONE, False),
])  # fmt: skip
def test_flows_to_former_endpoints_are_forgotten(destination: Endpoint, answering: Endpoint, forgotten: bool) -> None:
    flow = Flow(UDP, destination, answering, b"")
    assert conntrack.stale([flow], BACKENDS, frozenset({"192.168.9.11"})) == ([flow] if forgotten else [])
    assert conntrack.stale([Flow(TCP, destination, answering, b"")], BACKENDS, frozenset()) == []
