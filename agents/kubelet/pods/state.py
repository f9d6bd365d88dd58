"""What is remembered of a pod between two looks at it, and known from nowhere else.

Invariant: only the pod's worker writes it, but for `evicted`, which the node's judge does. It may be lost: after a
restart of the kubelet pods go on without it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from agents.kubelet.pods.resizes import Standing
from agents.kubelet.pods.view import BackOff, Eviction, Memory, Problem, Reading
from agents.kubelet.runtime.interface import Container
from api.objects import Object


@dataclass(slots=True)
class PodState:
    """What a worker remembers of a pod between two looks.

    `unstarted` are attempts that did not come to run. After a failure of the pod as a whole `pause` is how long its
    next try is waited for, and `resume` until when.
    """

    backoffs: dict[str, BackOff] = field(default_factory=dict)
    problems: dict[str, Problem] = field(default_factory=dict)
    retries: dict[str, float] = field(default_factory=dict)
    told: dict[str, int] = field(default_factory=dict)
    rejected: tuple[str, str] | None = None
    evicted: Eviction | None = None
    admitted: bool = False
    addresses: tuple[str, ...] = ()
    seen: float = 0.0
    resized: dict[str, str] = field(default_factory=dict)
    resize: Standing = field(default_factory=Standing)
    unresized: frozenset[str] = frozenset()
    resize_error: str = ""
    starting_over: str = ""
    restarting: set[str] = field(default_factory=set)
    pause: float = 0.0
    resume: float = 0.0
    unstarted: dict[str, Container] = field(default_factory=dict)
    reported: Object | None = None

    def memory(self, readings: dict[str, Reading]) -> Memory:
        """The values that the decision reads."""
        return Memory(
            readings,
            dict(self.backoffs),
            dict(self.problems),
            self.rejected,
            self.evicted,
            self.addresses,
            self.seen,
            dict(self.resized),
            self.resize.problem,
            self.unresized,
            bool(self.resize.changing) and self.resize.problem is None,
            self.resize_error,
            self.starting_over,
            frozenset(self.restarting),
        )
