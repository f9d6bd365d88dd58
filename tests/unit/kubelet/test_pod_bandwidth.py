"""The limits in a pod's annotations, as a table."""

from __future__ import annotations

import pytest

from agents.kubelet.pods.bandwidth import bandwidth
from agents.network.interface import Bandwidth, NetworkError

pytestmark = pytest.mark.unit

INGRESS, EGRESS = "kubernetes.io/ingress-bandwidth", "kubernetes.io/egress-bandwidth"


@pytest.mark.parametrize("annotations, expected", [
    ({}, Bandwidth()),
    ({INGRESS: "10M"}, Bandwidth(ingress=10_000_000)),
    ({INGRESS: "1G", EGRESS: "512k"}, Bandwidth(10**9, 512_000)),
])  # fmt: skip
def test_limits_are_read(annotations: dict[str, str], expected: Bandwidth) -> None:
    assert bandwidth({"metadata": {"annotations": annotations}}) == expected


@pytest.mark.parametrize("text, words", [
    ("fast", "quantities must match"), ("10", "unreasonably small"), ("2000P", "unreasonably large"),
])  # fmt: skip
def test_what_is_no_limit_is_said(text: str, words: str) -> None:
    with pytest.raises(NetworkError, match=words):
        bandwidth({"metadata": {"annotations": {EGRESS: text}}})
