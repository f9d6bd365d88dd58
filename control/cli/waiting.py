"""Waiting for a condition, with the reason at hand when it does not come.

Invariant: waiting ends with what was waited for, or with an error that says what was last known about it.
"""

from __future__ import annotations

from collections.abc import Callable

from api.runtime import Runtime
from control.cli.errors import CommandError

_POLL_SECONDS = 0.25


def await_condition(runtime: Runtime, seconds: float, lacking: Callable[[], str]) -> None:
    """Wait until `lacking` returns "": nothing lacks any more. Raises CommandError with its last sentence."""
    deadline = runtime.monotonic() + seconds
    while sentence := lacking():
        if runtime.monotonic() > deadline:
            raise CommandError(f"{sentence} (waited {seconds:.0f} s)")
        runtime.sleep(_POLL_SECONDS)
