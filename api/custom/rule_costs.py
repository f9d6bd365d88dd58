"""What the rules of a definition may cost: one that no request could pay for is refused with its definition.

Invariant: a rule costs what it costs once, times how often its place can occur in a request.
Source: apiextensions-apiserver/pkg/apis/apiextensions/validation (StaticEstimatedCostLimit and cel_validation.go).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from api.cel.sizes import REQUEST_BYTES
from api.errors import Cause
from api.validation import fields

_RULE_LIMIT, _SCHEMA_LIMIT = 10_000_000, 100_000_000
_ADVICE = (
    "(try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, and strings are "
    "declared)"
)
_SHARE = "contributed to estimated rule & messageExpression cost total exceeding cost limit for entire OpenAPIv3 schema"
_MOST_EXPENSIVE = 4


@dataclass(frozen=True, slots=True)
class Cost:
    """What an expression at a place may cost in one request; `what` says which sort of expression it is."""

    place: str
    what: str
    amount: int


def occurrences(around: int | None, limit: int | None) -> int | None:
    """How often the items of a list or map occur that itself occurs `around` times; None is without limit."""
    return None if around is None or limit is None else around * limit


def times(occurring: int | None, least_bytes: int) -> int:
    """How often a value of so many bytes may be in a request."""
    return REQUEST_BYTES // (least_bytes + 1) if occurring is None else occurring


def problems(place: str, costs: Iterable[Cost]) -> list[Cause]:
    """The expressions of a schema that cost too much, each and all together."""
    found, known = [], list(costs)
    for cost in known:
        if cost.amount > _RULE_LIMIT:
            sentence = _sentence(f"estimated {cost.what} cost", cost.amount, _RULE_LIMIT)
            found.append(fields.forbidden(cost.place, sentence))
    total = sum(cost.amount for cost in known)
    if total > _SCHEMA_LIMIT:
        dearest = sorted(known, key=lambda cost: -cost.amount)[:_MOST_EXPENSIVE]
        found += [fields.forbidden(cost.place, _SHARE) for cost in dearest]
        what = "x-kubernetes-validations estimated rule & messageExpression cost total for entire OpenAPIv3 schema"
        found.append(fields.forbidden(place, _sentence(what, total, _SCHEMA_LIMIT)))
    return found


def _sentence(what: str, amount: int, limit: int) -> str:
    factor = amount / limit
    shown = "more than 100x" if factor > 100 else f"{factor:.1f}x" if factor >= 1.5 else f"{factor:f}x"
    return f"{what} exceeds budget by factor of {shown} {_ADVICE}"
