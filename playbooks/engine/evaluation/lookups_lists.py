"""Lookups that only rearrange their terms: what the `with_` loops are made of."""

from __future__ import annotations

import itertools
import random
import re
from collections.abc import Callable, Mapping
from typing import Any

from inventory import patterns
from inventory.model import Group, Inventory
from playbooks.engine.evaluation.evaluator import Evaluator
from playbooks.engine.evaluation.filters_collections import dict2items, flatten, subelements
from playbooks.errors import TemplateError

_SHORT_SEQUENCE = re.compile(r"^(?:(\d+|0x[0-9a-f]+)-)?(\d+|0x[0-9a-f]+)(?:/(-?\d+))?(?::(.+))?$", re.IGNORECASE)


def _items(terms: list[Any], options: Mapping[str, Any], scope: Evaluator) -> list[Any]:
    return flatten(terms, 1, False)


def _dict(terms: list[Any], options: Mapping[str, Any], scope: Evaluator) -> list[Any]:
    return [pair for term in flatten(terms) for pair in dict2items(term)]


def _nested(terms: list[Any], options: Mapping[str, Any], scope: Evaluator) -> list[Any]:
    lists = [term if isinstance(term, list) else [term] for term in terms]
    return [flatten(row, 1, False) for row in itertools.product(*lists)]


def _together(terms: list[Any], options: Mapping[str, Any], scope: Evaluator) -> list[Any]:
    if not terms:
        raise TemplateError("together needs at least one list")
    return [list(row) for row in itertools.zip_longest(*terms)]


def _indexed(terms: list[Any], options: Mapping[str, Any], scope: Evaluator) -> list[Any]:
    return [[index, item] for index, item in enumerate(flatten(terms, 1, False))]


def _subelements(terms: list[Any], options: Mapping[str, Any], scope: Evaluator) -> list[Any]:
    if len(terms) < 2:
        raise TemplateError("subelements needs a list and the name of a sub-list")
    skip = bool(terms[2].get("skip_missing")) if len(terms) > 2 else bool(options.get("skip_missing"))
    # Unlike the filter of this name, the lookup takes the sub-list out of what it was in.
    last = str(terms[1]).rpartition(".")[2]
    return [
        [{k: v for k, v in outer.items() if k != last}, inner] for outer, inner in subelements(terms[0], terms[1], skip)
    ]


def _sequence(terms: list[Any], options: Mapping[str, Any], scope: Evaluator) -> list[Any]:
    found: list[str] = []
    for term in terms or [""]:
        found.extend(_numbers(str(term), dict(options)))
    return found


def _numbers(term: str, given: dict[str, Any]) -> list[str]:
    short = _SHORT_SEQUENCE.match(term.strip())
    if short:
        given = {"start": short[1] or 1, "end": short[2], "stride": short[3] or 1, "format": short[4] or "%d"}
    else:
        given.update({key: value for key, _, value in (part.partition("=") for part in term.split())})
    start, stride = int(str(given.get("start", 1)), 0), int(given.get("stride", 1))
    if "count" in given and "end" in given:
        raise TemplateError("sequence takes `end` or `count`, not both")
    if "count" in given:
        end = start + int(given["count"]) * stride - (1 if stride > 0 else -1)
    elif "end" in given:
        end = int(str(given["end"]), 0)
    else:
        raise TemplateError("sequence needs `end` or `count`")
    if end != start and (end > start) != (stride > 0) and stride and int(given.get("count", 1)):
        raise TemplateError(f"sequence: from {start} to {end} in steps of {stride} there is no way")
    if not stride:
        return []
    form = str(given.get("format", "%d"))
    return [form % number for number in range(start, end + (1 if stride > 0 else -1), stride)]


def _random(terms: list[Any], options: Mapping[str, Any], scope: Evaluator) -> list[Any]:
    return [random.SystemRandom().choice(terms)] if terms else []


def _hosts(terms: list[Any], options: Mapping[str, Any], scope: Evaluator) -> list[Any]:
    groups = scope.get("groups")
    known = [Group(name, tuple(hosts)) for name, hosts in groups.items() if name != "all"]
    everyone = Group("all", tuple(groups["all"]), tuple(group.name for group in known))
    inventory = Inventory({host: {} for host in everyone.hosts}, {group.name: group for group in (everyone, *known)})
    return patterns.match(inventory, [str(term) for term in terms], strict=False)


LISTS: dict[str, Callable[[list[Any], Mapping[str, Any], Evaluator], list[Any]]] = {
    "items": _items,
    "list": lambda terms, options, scope: list(terms),
    "flattened": lambda terms, options, scope: flatten(terms),
    "dict": _dict,
    "nested": _nested,
    "cartesian": _nested,
    "together": _together,
    "indexed_items": _indexed,
    "subelements": _subelements,
    "sequence": _sequence,
    "random_choice": _random,
    "inventory_hostnames": _hosts,
}
