"""The next steps for a pod, as values: what `sync` decides and `performer` carries out.

Invariant: values only; a plan says what to do and why, and does nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from agents.kubelet.runtime.interface import Container


class SandboxAction(StrEnum):
    """What happens to the pod's sandbox."""

    KEEP = "keep"
    CREATE = "create"
    STOP = "stop"
    REMOVE = "remove"


@dataclass(frozen=True, slots=True)
class Stop:
    """End a container: hook and SIGTERM, SIGKILL after `grace` seconds. An empty `message` makes no event.

    Out of its `turn` a container gets its hook, but no signal before its time is over. With `again` it is started again
    whatever its policy says of how it ended.
    """

    container: Container
    grace: float
    message: str = ""
    turn: bool = True
    again: bool = False


@dataclass(frozen=True, slots=True)
class Start:
    """Start an attempt of a container."""

    name: str
    attempt: int
    because: str
    target_id: str = ""


@dataclass(frozen=True, slots=True)
class Resize:
    """Put a running container's present resources into effect."""

    container: Container
    resources: str


@dataclass(frozen=True, slots=True)
class Plan:
    """The next steps, in this order: stops, removals, sandbox, starts, resizes.

    `again` asks for another look in that many seconds. `counted` is the container whose end, though it is not started
    again under its own name here, makes the next one wait.

    `ended` says that nothing of the pod runs any more or ever will, so that its volumes may go; `gone` that the pod
    itself may be forgotten.
    """

    stops: tuple[Stop, ...] = ()
    removals: tuple[Container, ...] = ()
    resizes: tuple[Resize, ...] = ()
    sandbox: SandboxAction = SandboxAction.KEEP
    starts: tuple[Start, ...] = ()
    waiting: tuple[str, ...] = ()
    counted: Container | None = None
    ended: bool = False
    gone: bool = False
    because: str = ""
    again: float | None = None


@dataclass(slots=True)
class Draft:
    """A plan in the making."""

    stops: list[Stop] = field(default_factory=list)
    removals: list[Container] = field(default_factory=list)
    starts: list[Start] = field(default_factory=list)
    resizes: list[Resize] = field(default_factory=list)
    waiting: list[str] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)
    again: float | None = None

    def look_again(self, seconds: float) -> None:
        self.again = seconds if self.again is None else min(self.again, seconds)

    def plan(self) -> Plan:
        return Plan(
            stops=tuple(self.stops),
            removals=tuple(self.removals),
            resizes=tuple(self.resizes),
            starts=tuple(self.starts),
            waiting=tuple(self.waiting),
            because="; ".join(self.reasons) or "all is as it should be",
            again=self.again,
        )
