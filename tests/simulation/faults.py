"""What breaks, when and for how long: a plan drawn from a seed, and the task that carries it out.

Invariant: a plan is a value; the same plan in the same world breaks the same things at the same moments.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from simulation.network import Weather

from control.kvstore.store import StoreError

if TYPE_CHECKING:
    from simulation.world import World


@dataclass(frozen=True, slots=True)
class Fault:
    """From virtual second `at` for `lasts` seconds; `amount` means what the kind makes of it."""

    at: float
    lasts: float
    kind: str
    target: str = ""
    amount: float = 0.0

    def __str__(self) -> str:
        return f"{self.at:.2f} s: {self.kind} {self.target} for {self.lasts:.2f} s (amount {self.amount:.3f})"


Plan = tuple[Fault, ...]


def draw(seed: str, kinds: Sequence[str], targets: Sequence[str], *, most: int, span: float, longest: float) -> Plan:
    """One to `most` faults of the kinds on the targets within `span` seconds, none longer than `longest`."""
    choices = random.Random(seed)
    faults = []
    for _ in range(choices.randint(1, most)):
        kind = choices.choice(list(kinds))
        faults.append(
            Fault(
                at=choices.uniform(0, span),
                lasts=choices.uniform(0.05, longest),
                kind=kind,
                target="" if kind in ("loss", "storm", "break-streams", "compact") else choices.choice(list(targets)),
                amount=choices.random(),
            )
        )
    return tuple(sorted(faults, key=lambda fault: fault.at))


def carry_out(world: World, plan: Plan) -> None:
    """Start a task for each fault of the plan; times count from now."""
    world.expect(plan)
    for index, fault in enumerate(plan):
        world.runtime.spawn_in(world.runtime.root, f"fault-{index}", _carry_out_one, world, fault)


def _carry_out_one(world: World, fault: Fault) -> None:
    world.runtime.sleep(fault.at)
    begin, end = _ACTIONS[fault.kind]
    world.say(f"fault: {fault}")
    begin(world, fault)
    world.runtime.sleep(fault.lasts)
    end(world, fault)
    world.say(f"fault over: {fault.kind} {fault.target}")


def _crash(world: World, fault: Fault) -> None:
    world.crash(fault.target)


def _restart(world: World, fault: Fault) -> None:
    world.restart(fault.target)


def _reboot(world: World, fault: Fault) -> None:
    """A power cut of a node: its containers end with its kubelet."""
    world.crash(fault.target)
    if fault.target.startswith("node"):
        world.machines.of(f"{fault.target}-0").power_cut()


def _trip(world: World, fault: Fault) -> None:
    """Crash at one of the target's next requests: before it is sent, or after it was answered."""
    if fault.target == "kvstore":
        world.store.tripwire = int(fault.amount * 40)
    else:
        world.network.tripwires[fault.target] = int(fault.amount * 40)


def _untrip(world: World, fault: Fault) -> None:
    if fault.target == "kvstore":
        world.store.tripwire = None
    world.network.tripwires.pop(fault.target, None)
    world.restart(fault.target)


def _cut_off(world: World, fault: Fault) -> None:
    world.cut_off(fault.target)


def _reconnect(world: World, fault: Fault) -> None:
    world.reconnect(fault.target)


def _weather(world: World, fault: Fault) -> None:
    share = fault.amount * 0.3
    world.network.weather = {
        "loss": Weather(lose_request=share, lose_answer=share, repeat=share),
        "storm": Weather(shortest_delay=0.0, longest_delay=fault.amount * 2.0, lose_answer=share / 3, repeat=share),
        "break-streams": Weather(break_stream=share),
    }[fault.kind]


def _fine_weather(world: World, fault: Fault) -> None:
    world.network.weather = Weather()


def _compact(world: World, fault: Fault) -> None:
    try:
        world.store.store.compact(world.store.store.status().revision)
    except StoreError as error:
        world.say(f"compaction refused: {error}")


def _skew(world: World, fault: Fault) -> None:
    process = world.processes.get(fault.target)
    if process is not None:
        process.skew = (fault.amount - 0.5) * 240.0


def _slow(world: World, fault: Fault) -> None:
    world.network.slow[fault.target] = fault.amount * 3.0


def _fast(world: World, fault: Fault) -> None:
    world.network.slow.pop(fault.target, None)


def _nothing(world: World, fault: Fault) -> None:
    return None


_ACTIONS = {
    "crash": (_crash, _restart),
    "reboot": (_reboot, _restart),
    "trip": (_trip, _untrip),
    "cut-off": (_cut_off, _reconnect),
    "loss": (_weather, _fine_weather),
    "storm": (_weather, _fine_weather),
    "break-streams": (_weather, _fine_weather),
    "compact": (_compact, _nothing),
    "skew": (_skew, _nothing),
    "slow": (_slow, _fast),
}
