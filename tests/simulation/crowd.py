"""Plays many seeds on several processors, for minutes or for hours, and sums up what each rule saw.

Invariant: interrupted at any moment, it ends its workers and still sums up.
"""

from __future__ import annotations

import itertools
import multiprocessing
import signal
import time
from collections import Counter
from collections.abc import Iterable, Iterator

from simulation.play import Outcome, play, report
from simulation.rules import RULES
from simulation.scenarios import SCENARIOS

Task = tuple[str, int]

_REPORT_EVERY = 100
_SEEDS_A_WORKER = 200


def tasks(names: Iterable[str], first: int, count: int) -> Iterator[Task]:
    """`count` pairs of scenario and seed, the scenarios in turn."""
    pairs = ((name, seed) for seed in itertools.count(first) for name in names)
    return itertools.islice(pairs, count)


def _ignore_interrupts() -> None:
    # Ctrl-C reaches the whole process group; the parent ends its workers itself.
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _play(task: Task) -> Outcome:
    return play(SCENARIOS[task[0]], task[1])


class Tally:
    """What came of the seeds so far."""

    def __init__(self) -> None:
        self.began = time.monotonic()
        self.played = 0
        self.failed = 0
        self.virtual_seconds = 0.0
        self.held: Counter[str] = Counter()
        self.broken: Counter[str] = Counter()

    def add(self, outcome: Outcome) -> None:
        """Take one outcome in."""
        self.played += 1
        self.virtual_seconds += outcome.virtual_seconds
        self.held.update(outcome.held)
        if outcome.violation:
            self.failed += 1
            self.broken[outcome.rule] += 1

    def line(self) -> str:
        """One line of progress."""
        seconds = time.monotonic() - self.began
        return f"{self.played} seeds played, {self.failed} failed, {seconds:.0f} s"

    def summary(self) -> str:
        """Each rule by its name, how often it was held against something, and in how many seeds it broke."""
        rows = [f"  {rule:<62} held {self.held[rule]:>9}  broken {self.broken[rule]:>4}" for rule in RULES]
        hours = self.virtual_seconds / 3600
        return "\n".join([*rows, f"{self.line()}, {hours:.1f} virtual hours"])


def play_many(pairs: Iterable[Task], processes: int, *, first_failure: bool = False, bug: str = "") -> int:
    """Play the pairs; the number that failed. Prints each failure as it comes, and a summary."""
    tally = Tally()
    # Forked workers share what is imported; each is replaced after a while, so that nothing grows for hours.
    pool = multiprocessing.get_context("fork").Pool(processes, _ignore_interrupts, maxtasksperchild=_SEEDS_A_WORKER)
    try:
        print(f"playing on {processes} processors", flush=True)
        for outcome in pool.imap_unordered(_play, pairs):
            tally.add(outcome)
            if outcome.violation:
                print(report(outcome, outcome.plan, bug), flush=True)
                if first_failure:
                    break
            if tally.played % _REPORT_EVERY == 0:
                print(tally.line(), flush=True)
    except KeyboardInterrupt:
        print("interrupted", flush=True)
    finally:
        pool.terminate()
        pool.join()
    print(tally.summary(), flush=True)
    return tally.failed
