"""Holds the rules: against every committed revision while the world runs, and at rest.

Invariant: a violation names its rule, the virtual moment and the objects, and ends the run.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING

import orjson
from simulation import rules
from simulation.history import History, names_of
from simulation.rules import Limits
from simulation.virtual_runtime import VirtualRuntime

from api.objects import Object, is_deleting, uid_of
from control.kvstore.store import Store

if TYPE_CHECKING:
    from simulation.world import World


class Violation(AssertionError):
    """A rule was broken; `rule` is its name and the text is the whole report."""

    def __init__(self, rule: str, text: str) -> None:
        super().__init__(text)
        self.rule = rule


class Checks:
    """Follows the store from its first revision on and holds every rule against every change."""

    def __init__(self, runtime: VirtualRuntime, store: Store) -> None:
        self._runtime = runtime
        self.history = History(runtime, store)
        self.limits = Limits()
        self.held: Counter[str] = Counter()
        self._broken: list[tuple[str, str]] = []
        self._acknowledged: list[tuple[str, Object]] = []
        runtime.spawn_in(runtime.root, "checks", self._follow)

    def objects(self, plural: str) -> list[Object]:
        """All committed objects of a resource (`pods`)."""
        return self.history.objects(plural)

    def guard_availability(self, app: str, fewest: int) -> None:
        """From now on the pods labelled app=`app` that are Ready and stay must never be fewer."""
        self.limits.fewest[app] = fewest

    def wrote(self, client: str, identity: str, lease: str) -> None:
        """Note that a component's write reached the API: only the holder of its Lease may write."""
        spec = (self.history.get("leases", f"kube-system/{lease}") or {}).get("spec") or {}
        holder = spec.get("holderIdentity") or ""
        two = holder and holder != identity
        self.hold(rules.ONE_LEADER, [f"{client} wrote while {holder} leads {lease}"] if two else ())

    def acknowledged(self, what: str, body: bytes) -> None:
        """Note that a client was told that its write succeeded."""
        if body.startswith(b"{"):
            self._acknowledged.append((what, orjson.loads(body)))

    def hold(self, rule: str, sentences: Iterable[str]) -> None:
        """Count that a rule was looked at, and note each way in which it is broken."""
        self.held[rule] += 1
        for sentence in sentences:
            self._broken.append((rule, f"{rule}: {sentence} (at {self._runtime.now:.3f} s)"))

    def violated(self, rule: str, sentence: str) -> None:
        """Note a broken rule."""
        self.hold(rule, [sentence])

    def raise_if_broken(self, world: World) -> None:
        """Raise Violation with seed and timeline if a rule was broken or a task failed."""
        failures = [(rules.NO_CRASH, f"task {name} failed:\n{trace}") for name, trace in self._runtime.failures]
        found = self._broken + failures
        if found:
            timeline = "\n".join(world.timeline[-60:])
            sentences = "\n".join(sentence for _, sentence in found)
            raise Violation(found[0][0], f"seed {world.seed}\n{sentences}\ntimeline:\n{timeline}")

    def at_rest(self, world: World, *, quiet_seconds: float, within: float) -> None:
        """Wait until nothing but heartbeats is written for a while, then hold the rules of rest."""
        began = self._runtime.now
        world.until("rest", lambda: self._quiet_since(began) >= quiet_seconds, seconds=within)
        world.witness.check()
        for rule, sentences in rules.AT_REST.items():
            self.hold(rule, sentences(self.history))
        self.hold(rules.ACKNOWLEDGED, self._lost())
        self.hold(rules.NODES_RUN, world.machines.differences(self.history))
        self.hold(rules.NO_CRASH, ())
        world.say("at rest")
        self.raise_if_broken(world)

    def idempotent(self, world: World, seconds: float = 40.0) -> None:
        """Restart every control loop at rest: a second look at everything must write nothing."""
        for name in list(world.processes):
            if name.startswith(("scheduler", "controllers")):
                world.crash(name)
                world.restart(name)
        before = len(self.history.writes)
        world.run(seconds)
        written = self.history.writes[before:]
        self.hold(rules.IDEMPOTENT, [f"written again: {names_of(written)}"] if written else ())
        self.raise_if_broken(world)

    def _quiet_since(self, began: float) -> float:
        writes = self.history.writes
        return self._runtime.now - max(began, writes[-1].moment if writes else 0.0)

    def _follow(self) -> None:
        for change in self.history.follow():
            if change.plural == "pods":
                for rule, sentences in rules.OF_PODS.items():
                    self.hold(rule, sentences(self.history, self.limits, change))

    def _lost(self) -> Iterable[str]:
        """Acknowledged writes that the store does not know."""
        staying = {uid_of(obj) for _, obj in self.history.everything() if not is_deleting(obj)}
        for what, answer in self._acknowledged:
            single = not str(answer.get("kind")).endswith("List")
            revision = (answer.get("metadata") or {}).get("resourceVersion") if single else None
            if revision and int(revision) not in self.history.committed:
                yield f"{what} was acknowledged at revision {revision}, which was never committed"
            gone = (answer.get("details") or {}).get("uid")
            if what.startswith("DELETE") and gone in staying:
                yield f"{what} was acknowledged, and it is still there"
