"""What a probe's answers amount to.

Invariant: pure. A result turns only after as many like answers in a row as the probe's thresholds say.
Source: kubelet's prober worker; core/v1 Probe.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from api.objects import Object


class Kind(StrEnum):
    """Which of a container's probes."""

    STARTUP = "startup"
    LIVENESS = "liveness"
    READINESS = "readiness"


@dataclass(frozen=True, slots=True)
class Timing:
    """When and how long a probe asks, in seconds, and how many like answers turn its result."""

    delay: float = 0.0
    period: float = 10.0
    timeout: float = 1.0
    successes: int = 1
    failures: int = 3


@dataclass(frozen=True, slots=True)
class Tally:
    """The result so far, and how often in a row the last answer came."""

    result: bool
    last: bool | None = None
    count: int = 0


def timing(probe: Object) -> Timing:
    """A probe's numbers, with the API's defaults."""
    return Timing(
        delay=float(probe.get("initialDelaySeconds") or 0),
        period=float(probe.get("periodSeconds") or 10),
        timeout=float(probe.get("timeoutSeconds") or 1),
        successes=int(probe.get("successThreshold") or 1),
        failures=int(probe.get("failureThreshold") or 3),
    )


def initial(kind: Kind, told: Object) -> Tally:
    """Before the first answer: alive, but neither started nor ready, unless the status already tells so of it.

    `told` is the container's entry in the status, if it is of this very container: a kubelet that starts again must not
    take what serves out of its Services. Source: kubelet without ChangeContainerStatusOnKubeletRestart.
    """
    field = {Kind.STARTUP: "started", Kind.READINESS: "ready"}.get(kind)
    return Tally(result=field is None or bool(told.get(field)))


def advance(tally: Tally, answer: bool, numbers: Timing) -> Tally:
    """The tally after one more answer."""
    count = tally.count + 1 if tally.last is answer else 1
    needed = numbers.successes if answer else numbers.failures
    return Tally(answer if count >= needed else tally.result, answer, count)
