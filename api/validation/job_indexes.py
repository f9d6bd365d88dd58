"""Rules for lists of a Job's indexes, such as `1,3-5`, and for the policies that name some.

Source: the original's validateIndexesFormat, validateFailedIndexesNotOverlapCompleted and validateSuccessPolicy.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from api.objects import Object
from api.validation import fields
from api.validation.fields import Causes

_MOST_RULES = 20
_LONGEST = 64 * 1024

Interval = tuple[int, int]


def intervals(text: str, completions: int) -> list[Interval]:
    """The intervals of a list in order. Raises ValueError."""
    found: list[Interval] = []
    for part in text.split(",") if text else ():
        first, last = _interval(part, completions)
        if found and found[-1][1] >= first:
            raise ValueError(f"non-increasing order, previous: {found[-1][1]}, current: {first}")
        found.append((first, last))
    return found


def _interval(text: str, completions: int) -> Interval:
    ends = text.split("-")
    if len(ends) > 2:
        why = "violates the requirement that an index interval can have at most two parts separated by '-'"
        raise ValueError(f'the fragment "{text}" {why}')
    numbers = []
    for end in ends:
        if not end.removeprefix("+").isdecimal():
            raise ValueError(f'cannot convert string to integer for index: "{end}"')
        if int(end) >= completions:
            raise ValueError(f'too large index: "{end}"')
        numbers.append(int(end))
    if len(numbers) == 2 and numbers[0] >= numbers[1]:
        raise ValueError(f"non-increasing order, previous: {numbers[0]}, current: {numbers[1]}")
    return numbers[0], numbers[-1]


def overlap(one: str, other: str, completions: int) -> int | None:
    """The first index that two lists share, as far as they can be read."""
    left, right = deque(_readable(one, completions)), deque(_readable(other, completions))
    while left and right:
        (first, last), (begin, end) = left[0], right[0]
        if first <= end and begin <= last:
            return max(first, begin)
        (left if first <= begin else right).popleft()
    return None


def _readable(text: str, completions: int) -> Iterator[Interval]:
    for part in text.split(","):
        try:
            yield _interval(part, completions)
        except ValueError:
            continue


def success_policy(path: str, spec: Object) -> Causes:
    """`successPolicy` of a Job's spec."""
    policy, place = spec.get("successPolicy"), f"{path}.successPolicy"
    if policy is None:
        return []
    if spec.get("completionMode") != "Indexed":
        return [fields.invalid(place, policy, "requires indexed completion mode")]
    rules = policy.get("rules") or []
    found: Causes = []
    if not rules:
        detail = "at least one rules must be specified when the successPolicy is specified"
        found.append(fields.required(f"{place}.rules", detail))
    if len(rules) > _MOST_RULES:
        found.append(fields.too_many(f"{place}.rules", len(rules), _MOST_RULES))
    for inner, rule in fields.each(policy, "rules", place):
        found += _success_rule(inner, rule, spec.get("completions") or 0)
    return found


def _success_rule(path: str, rule: Object, completions: int) -> Causes:
    count, indexes = rule.get("succeededCount"), rule.get("succeededIndexes")
    if count is None and indexes is None:
        detail = "at least one of succeededCount or succeededIndexes must be specified"
        return [fields.required(path, detail)]
    found: Causes = []
    total = 0
    if indexes is not None:
        place = f"{path}.succeededIndexes"
        found += [fields.too_long(place, _LONGEST)] * (len(indexes) > _LONGEST)
        try:
            total = sum(last - first + 1 for first, last in intervals(indexes, completions))
        except ValueError as error:
            found.append(fields.invalid(place, indexes, f"error parsing succeededIndexes: {error}"))
    if count is None:
        return found
    place = f"{path}.succeededCount"
    found += fields.nonnegative(place, count)
    limits = [(completions, "specified completions")]
    limits += [(total, "indexes in the specified succeededIndexes field")] if indexes is not None else []
    for limit, what in limits:
        if count > limit:
            detail = f"must be less than or equal to {limit} (the number of {what})"
            found.append(fields.invalid(place, count, detail))
    return found
