"""What a Job may ask for, and how its status may change."""

from __future__ import annotations

from typing import Any

import pytest
from test_validation import made, put, sentences

from api.objects import Object, copy
from api.validation import job_indexes

pytestmark = pytest.mark.unit

NOW, LATER = "2026-01-01T00:00:00Z", "2026-01-01T00:00:01Z"
JOB = "batch/v1/Job"


def true(*kinds: str) -> list[Object]:
    return [{"type": kind, "status": "True"} for kind in kinds]


MET, TARGET = true("SuccessCriteriaMet"), true("FailureTarget")
COMPLETE = {"conditions": true("SuccessCriteriaMet", "Complete"), "startTime": NOW, "completionTime": LATER}
FAILED = {"conditions": true("FailureTarget", "Failed"), "startTime": NOW}
INDEXED = {"completionMode": "Indexed", "completions": 5}
PER_INDEX = INDEXED | {"backoffLimitPerIndex": 1}
CONDITIONS = "status.conditions: Invalid value: "

CHANGES: list[tuple[dict[str, Any], dict[str, Any], dict[str, Any], list[str]]] = [
    ({}, {}, COMPLETE, []),
    ({}, {}, FAILED, []),
    ({}, {}, {"active": -1}, ["status.active: Invalid value: -1: must be greater than or equal to 0"]),
    ({}, {}, COMPLETE | {"conditions": true("Complete")},
     [f"{CONDITIONS}cannot set Complete=True condition without the SuccessCriteriaMet=true condition"]),
    ({}, {}, FAILED | {"conditions": true("Failed")},
     [f"{CONDITIONS}cannot set Failed=True condition without the FailureTarget=true condition"]),
    ({}, {}, {"conditions": COMPLETE["conditions"]},
     ["status.completionTime: Required value: completionTime is required for Complete jobs",
      "status.startTime: Required value: startTime is required for finished job"]),
    ({}, {}, COMPLETE | {"completionTime": "2025-01-01T00:00:00Z"},
     ['status.completionTime: Invalid value: "2025-01-01T00:00:00Z": completionTime cannot be set before startTime']),
    ({}, {}, {"completionTime": LATER},
     [f'status.completionTime: Invalid value: "{LATER}": cannot set completionTime when there is no Complete=True '
      "condition"]),
    ({}, {}, COMPLETE | {"conditions": true("SuccessCriteriaMet", "Complete", "Failed", "FailureTarget")},
     [f"{CONDITIONS}{detail}" for detail in (
         "cannot set Complete=True and Failed=true conditions",
         "cannot set Complete=True and FailureTarget=true conditions",
         "cannot set SuccessCriteriaMet=True and Failed=true conditions",
         "cannot set SuccessCriteriaMet=True and FailureTarget=true conditions")]),
    ({}, {}, COMPLETE | {"active": 1, "terminating": 2, "uncountedTerminatedPods": {"failed": ["u"]}},
     ["status.active: Invalid value: 1: active>0 is invalid for finished job",
      "status.terminating: Invalid value: 2: terminating>0 is invalid for finished job",
      'status.uncountedTerminatedPods: Invalid value: {"failed":["u"]}: uncountedTerminatedPods needs to be empty for '
      "finished job"]),
    ({}, {}, {"active": 1, "ready": 2}, ["status.ready: Invalid value: 2: cannot set more ready pods than active"]),
    ({}, COMPLETE, {"startTime": NOW}, [f"{CONDITIONS}cannot disable the terminal Complete=True condition",
                        f"{CONDITIONS}cannot disable the SuccessCriteriaMet=True condition"]),
    ({"suspend": True}, FAILED, {"conditions": TARGET, "startTime": NOW},
     [f"{CONDITIONS}cannot disable the terminal Failed=True condition"]),
    ({}, COMPLETE, COMPLETE | {"completionTime": "2026-01-01T00:00:09Z"},
     ['status.completionTime: Invalid value: "2026-01-01T00:00:09Z": completionTime cannot be mutated']),
    ({}, {"startTime": NOW}, {}, ["status.startTime: Required value: startTime cannot be removed for unsuspended job"]),
    ({"suspend": True}, {"startTime": NOW}, {}, []),
    ({}, {"failed": 2, "succeeded": 2}, {"failed": 1, "succeeded": 1},
     ["status.failed: Invalid value: 1: cannot decrease the failed counter",
      "status.succeeded: Invalid value: 1: cannot decrease the succeeded counter"]),
    (INDEXED | {"parallelism": 5}, {"succeeded": 2}, {"succeeded": 1}, []),
    ({}, {"conditions": true("Complete"), "completionTime": LATER, "startTime": NOW}, COMPLETE,
     [f"{CONDITIONS}cannot set SuccessCriteriaMet=True for Job already has Complete=true conditions"]),
    (INDEXED | {"successPolicy": {"rules": [{"succeededCount": 1}]}}, {},
     COMPLETE | {"conditions": true("Complete")},
     [f"{CONDITIONS}cannot set Complete=True condition without the SuccessCriteriaMet=true condition",
      f"{CONDITIONS}cannot set Complete=True for Job with SuccessPolicy unless SuccessCriteriaMet=True"]),
    (PER_INDEX, {}, {"completedIndexes": "0,2-3", "failedIndexes": "1,4"}, []),
    (PER_INDEX, {}, {"completedIndexes": "0,2-3", "failedIndexes": "1,3-4"},
     ['status.failedIndexes: Invalid value: "1,3-4": failedIndexes and completedIndexes overlap at index: 3']),
    *((INDEXED, {}, {"completedIndexes": text},
       [f'status.completedIndexes: Invalid value: "{text}": error parsing completedIndexes: {why}'])
      for text, why in (
          ("5", 'too large index: "5"'), ("1,x", 'cannot convert string to integer for index: "x"'),
          ("3,2", "non-increasing order, previous: 3, current: 2"),
          ("2-2", "non-increasing order, previous: 2, current: 2"),
          ("1-2-3", 'the fragment "1-2-3" violates the requirement that an index interval can have at most two parts '
                    "separated by '-'"))),
    (INDEXED, {"completedIndexes": "7"}, {"completedIndexes": "7", "active": 1}, []),
    ({}, {}, {"completedIndexes": "0"},
     ['status.completedIndexes: Invalid value: "0": cannot set non-empty completedIndexes when non-indexed completion '
      "mode"]),
    (INDEXED, {}, {"failedIndexes": "0"},
     ['status.failedIndexes: Invalid value: "0": cannot set non-null failedIndexes when backoffLimitPerIndex is null']),
]  # fmt: skip


@pytest.mark.parametrize(("spec", "before", "now", "wanted"), CHANGES, ids=[str(case[3])[:60] for case in CHANGES])
def test_a_changed_status_is_judged(
    spec: dict[str, Any], before: dict[str, Any], now: dict[str, Any], wanted: list[str]
) -> None:
    old = made(JOB, lambda job: job["spec"].update(spec))
    old["status"] = before
    new = copy(old)
    new["status"] = now
    assert sentences(new, old, "status") == wanted


RULE = "spec.successPolicy.rules"
NEW: list[tuple[dict[str, Any], list[str]]] = [
    ({"managedBy": "example.com/mine"}, []),
    ({"managedBy": ""}, ["spec.managedBy: Required value"]),
    ({"managedBy": "mine"},
     ['spec.managedBy: Invalid value: "mine": must be a domain-prefixed path (such as "acme.io/foo")']),
    ({"managedBy": f"example.com/{'x' * 60}"}, ["spec.managedBy: Too long: may not be more than 63 bytes"]),
    ({"successPolicy": {"rules": []}},
     ['spec.successPolicy: Invalid value: {"rules":[]}: requires indexed completion mode']),
    (INDEXED | {"successPolicy": {"rules": []}},
     [f"{RULE}: Required value: at least one rules must be specified when the successPolicy is specified"]),
    (INDEXED | {"successPolicy": {"rules": [{}, {"succeededCount": 3, "succeededIndexes": "0-1"},
                                            {"succeededCount": 6}, {"succeededIndexes": "9"}]}},
     [f"{RULE}[0]: Required value: at least one of succeededCount or succeededIndexes must be specified",
      f"{RULE}[1].succeededCount: Invalid value: 3: must be less than or equal to 2 (the number of indexes in the "
      "specified succeededIndexes field)",
      f"{RULE}[2].succeededCount: Invalid value: 6: must be less than or equal to 5 (the number of specified "
      "completions)",
      f'{RULE}[3].succeededIndexes: Invalid value: "9": error parsing succeededIndexes: too large index: "9"']),
    (PER_INDEX | {"completions": 100_001},
     ["spec.maxFailedIndexes: Required value: must be specified when completions is above 100000"]),
    (PER_INDEX | {"completions": 100_001, "parallelism": 10_001, "maxFailedIndexes": 9},
     ["spec.parallelism: Invalid value: 10001: must be less than or equal to 10000 when completions are above 100000 "
      "and used with backoff limit per index"]),
]  # fmt: skip


@pytest.mark.parametrize(("spec", "wanted"), NEW, ids=[str(case[1])[:60] for case in NEW])
def test_a_new_job_is_judged(spec: dict[str, Any], wanted: list[str]) -> None:
    assert sentences(made(JOB, lambda job: job["spec"].update(spec))) == wanted


def test_words_that_a_failure_policy_lacks_are_listed() -> None:
    rules = [{"onExitCodes": {"values": [1]}}, {"action": "Count"}]
    place = "spec.podFailurePolicy.rules"
    assert sentences(made(JOB, put("spec/podFailurePolicy", {"rules": rules}))) == [
        f'{place}[0].action: Required value: valid values: ["Count" "FailIndex" "FailJob" "Ignore"]',
        f'{place}[0].onExitCodes.operator: Required value: valid values: ["In" "NotIn"]',
        f"{place}[1]: Invalid value: specifying one of OnExitCodes and OnPodConditions is required",
    ]


@pytest.mark.timeout(5)
def test_long_lists_of_indexes_are_compared_once() -> None:
    even, odd = (",".join(map(str, range(start, 300_000, 2))) for start in (0, 1))
    assert job_indexes.overlap(even, odd, 300_000) is None
