"""The last answers of all kubelets to the question what they use."""

from __future__ import annotations

from dataclasses import dataclass

from api.objects import Object


@dataclass(slots=True)
class Summaries:
    """By node, and when they were taken; None before anybody asked."""

    taken: float = float("-inf")
    by_node: dict[str, Object] | None = None
