"""The scenarios: a workload, and what may break meanwhile. A seed decides the rest.

Invariant: a scenario is a value; the same scenario and seed give the same run.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from simulation import workloads
from simulation.world import World

CONTROL = ("apiserver-0", "scheduler-0", "controllers-0")
STORE = (*CONTROL, "kvstore")
STANDBY = (*CONTROL, "scheduler-1", "controllers-1")
TWO_SERVERS = (*STORE, "apiserver-1")
NODES = ("node0", "node1", "node2")
WEATHER = ("loss", "storm", "break-streams")
CRASHES = ("crash", "trip")


@dataclass(frozen=True, slots=True)
class Scenario:
    """A workload under up to `most` faults of `kinds` on `targets`, none longer than `longest` seconds.

    `converges` is the virtual time within which everything must be as wanted once the faults are over.
    """

    name: str
    workload: Callable[[World], None]
    kinds: tuple[str, ...] = ()
    targets: tuple[str, ...] = CONTROL
    most: int = 5
    span: float = 6.0
    longest: float = 20.0
    nodes: int = 3
    servers: int = 1
    standby: bool = False
    converges: float = 300.0


SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        Scenario("calm", workloads.scaling),
        Scenario("scaling-in-bad-weather", workloads.scaling, WEATHER),
        Scenario("scaling-while-control-crashes", workloads.scaling, CRASHES, STORE),
        Scenario("rolling-in-bad-weather", workloads.rolling, (*WEATHER, "slow"), (*CONTROL, *NODES)),
        Scenario("rolling-while-control-crashes", workloads.rolling, (*CRASHES, "compact"), STORE),
        Scenario("rolling-while-leaders-change", workloads.rolling, (*CRASHES, "cut-off"), STANDBY, standby=True),
        Scenario("rolling-on-two-servers", workloads.rolling, (*CRASHES, "cut-off"), TWO_SERVERS, servers=2),
        Scenario("nodes-come-and-go", workloads.scaling, ("crash", "reboot", "cut-off", "slow"), NODES, longest=120.0),
        Scenario(
            "outliving-nodes",
            workloads.outliving_nodes,
            ("crash", "reboot", "cut-off"),
            NODES,
            most=2,
            longest=600.0,
            converges=900.0,
        ),
        Scenario("crowding", workloads.crowding, (*CRASHES, "loss"), STANDBY, standby=True),
        Scenario("preempting", workloads.preempting, (*CRASHES, "loss"), STANDBY, standby=True),
        Scenario("serving", workloads.serving, (*CRASHES, *WEATHER), (*STORE, *NODES)),
        Scenario("deleting", workloads.deleting, (*CRASHES, *WEATHER), STORE),
        Scenario("adopting", workloads.adopting, (*CRASHES, *WEATHER), STORE),
        Scenario("namespaces", workloads.namespaces, (*CRASHES, *WEATHER), STORE),
        Scenario("ordinals", workloads.ordinals, (*CRASHES, *WEATHER), (*STORE, *NODES)),
        Scenario("parallel-ordinals", workloads.parallel_ordinals, ("crash", "reboot", "cut-off"), (*CONTROL, *NODES)),
        Scenario("rolling-ordinals", workloads.rolling_ordinals, (*CRASHES, "loss"), STANDBY, standby=True),
        Scenario("on-every-node", workloads.on_every_node, (*CRASHES, *WEATHER), (*STORE, *NODES)),
        Scenario("jobs", workloads.jobs, (*CRASHES, *WEATHER), (*STORE, *NODES), span=20.0),
        Scenario("jobs-on-failing-nodes", workloads.jobs, ("crash", "reboot", "cut-off", "slow"), NODES, span=20.0),
        Scenario("schedules", workloads.schedules, (*CRASHES, *WEATHER), STORE, span=200.0),
        Scenario("losing-nodes", workloads.losing_nodes, (*CRASHES, *WEATHER), STORE),
        Scenario(
            "everything",
            workloads.everything,
            (*CRASHES, *WEATHER, "cut-off", "slow", "compact"),
            (*TWO_SERVERS, *STANDBY, *NODES),
            most=8,
            span=20.0,
            servers=2,
            standby=True,
        ),
        Scenario("draining", workloads.draining, (*CRASHES, "storm"), STORE, span=15.0),
        Scenario(
            "draining-while-rolling", workloads.draining_while_rolling, CRASHES, TWO_SERVERS, servers=2, span=15.0
        ),
        Scenario("quotas", workloads.quotas, (*CRASHES, "storm"), TWO_SERVERS, servers=2, span=20.0),
        Scenario("counting", workloads.counting, (*CRASHES, *WEATHER), TWO_SERVERS, servers=2),
        Scenario("clocks-disagree", workloads.rolling, ("skew", "slow"), (*STANDBY, *NODES), standby=True),
        Scenario(
            "compaction-behind-watchers", workloads.scaling, ("compact", "cut-off", "break-streams"), (*CONTROL, *NODES)
        ),
    )
}
