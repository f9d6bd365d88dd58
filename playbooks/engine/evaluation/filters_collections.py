"""Filters on lists and mappings.

Source: Ansible, "Using filters to manipulate data".
"""

from __future__ import annotations

import itertools
import operator
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Any

from playbooks.errors import TemplateError

_LIST_MERGES = ("replace", "keep", "append", "prepend", "append_rp", "prepend_rp")


def combine(*mappings: Any, recursive: bool = False, list_merge: str = "replace") -> dict[str, Any]:
    """Mappings merged, the later ones stronger."""
    if list_merge not in _LIST_MERGES:
        raise TemplateError(f"combine: list_merge is {list_merge!r}, which is none of {', '.join(_LIST_MERGES)}")
    flat: list[Any] = []
    for item in mappings:
        flat.extend(item) if isinstance(item, list) else flat.append(item)
    merged: dict[str, Any] = {}
    for item in flat:
        if item is None:
            continue
        if not isinstance(item, Mapping):
            raise TemplateError(f"combine expects mappings, not {type(item).__name__}")
        merged = _merge(merged, item, recursive, list_merge)
    return merged


def _merge(low: Mapping[str, Any], high: Mapping[str, Any], recursive: bool, list_merge: str) -> dict[str, Any]:
    merged = dict(low)
    for key, value in high.items():
        old = merged.get(key)
        if recursive and isinstance(old, Mapping) and isinstance(value, Mapping):
            merged[key] = _merge(old, value, recursive, list_merge)
        elif isinstance(old, list) and isinstance(value, list):
            merged[key] = _merge_lists(old, value, list_merge)
        else:
            merged[key] = value
    return merged


def _merge_lists(low: list[Any], high: list[Any], how: str) -> list[Any]:
    if how == "append":
        return low + high
    if how == "prepend":
        return high + low
    if how == "append_rp":
        return [item for item in low if item not in high] + high
    if how == "prepend_rp":
        return high + [item for item in low if item not in high]
    return low if how == "keep" else high


def dict2items(value: Mapping[str, Any], key_name: str = "key", value_name: str = "value") -> list[dict[str, Any]]:
    """A mapping as a list of pairs."""
    if not isinstance(value, Mapping):
        raise TemplateError(f"dict2items requires a dictionary, got {type(value).__name__} instead.")
    return [{key_name: key, value_name: item} for key, item in value.items()]


def items2dict(items: Sequence[Mapping[str, Any]], key_name: str = "key", value_name: str = "value") -> dict[Any, Any]:
    """A list of pairs as a mapping."""
    if not isinstance(items, list | tuple):
        raise TemplateError(f"items2dict requires a list, got {type(items).__name__} instead.")
    return {item[key_name]: item[value_name] for item in items}


def flatten(items: Iterable[Any], levels: int | None = None, skip_nulls: bool = True) -> list[Any]:
    """Lists in a list opened."""
    flat: list[Any] = []
    for item in items:
        if skip_nulls and item in (None, "None", "null"):
            continue
        if isinstance(item, list | tuple) and levels != 0:
            flat.extend(flatten(item, None if levels is None else levels - 1, skip_nulls))
        else:
            flat.append(item)
    return flat


def unique(items: Iterable[Any], case_sensitive: bool | None = None, attribute: Any = None) -> list[Any]:
    """Each item once, in order; texts that differ in case alone are the same unless asked otherwise."""
    return _each_once(items, bool(case_sensitive), attribute)


def _each_once(items: Iterable[Any], case_sensitive: bool = True, attribute: Any = None) -> list[Any]:
    found: list[Any] = []
    seen: list[Any] = []
    hashes: set[Any] = set()
    for item in items:
        key = item[attribute] if attribute is not None else item
        key = key.lower() if not case_sensitive and isinstance(key, str) else key
        if isinstance(key, Hashable):
            if key in hashes:
                continue
            hashes.add(key)
        elif key in seen:
            continue
        else:
            seen.append(key)
        found.append(item)
    return found


def union(first: Iterable[Any], second: Iterable[Any]) -> list[Any]:
    """What is in either, each once."""
    both = _of_numbers(first, second, operator.or_)
    return _each_once([*first, *second]) if both is None else both


def intersect(first: Iterable[Any], second: Iterable[Any]) -> list[Any]:
    """What is in both."""
    other = list(second)
    both = _of_numbers(first, other, operator.and_)
    return _each_once(item for item in first if item in other) if both is None else both


def difference(first: Iterable[Any], second: Iterable[Any]) -> list[Any]:
    """What is in the first alone."""
    other = list(second)
    left = _of_numbers(first, other, operator.sub)
    return _each_once(item for item in first if item not in other) if left is None else left


def _of_numbers(first: Iterable[Any], second: Iterable[Any], how: Callable[[Any, Any], Any]) -> list[Any] | None:
    """Numbers in the order that sets give them, as Ansible's are; of text that order changes from run to run."""
    first, second = list(first), list(second)
    return list(how(set(first), set(second))) if all(isinstance(item, int) for item in (*first, *second)) else None


def symmetric_difference(first: Sequence[Any], second: Sequence[Any]) -> list[Any]:
    """What is in one of them only."""
    single = _of_numbers(first, second, operator.xor)
    return union(difference(first, second), difference(second, first)) if single is None else single


def subelements(value: Any, path: Any, skip_missing: bool = False) -> list[tuple[Any, Any]]:
    """Each item paired with each of its sub-items."""
    items = list(value.values()) if isinstance(value, Mapping) else list(value)
    keys = path if isinstance(path, list) else str(path).split(".")
    pairs: list[tuple[Any, Any]] = []
    for item in items:
        found: Any = item
        for key in keys:
            if not isinstance(found, Mapping) or key not in found:
                if skip_missing:
                    found = []
                    break
                raise TemplateError(f"could not find {key!r} key in iterated item {item!r}")
            found = found[key]
        if not isinstance(found, list):
            raise TemplateError(f"the key {key!r} should point to a list, got {found!r}")
        pairs.extend((item, below) for below in found)
    return pairs


def rekey_on_member(data: Any, key: str, duplicates: str = "error") -> dict[Any, Any]:
    """A mapping of items by one of their members."""
    rekeyed: dict[Any, Any] = {}
    for item in data.values() if isinstance(data, Mapping) else data:
        if item[key] in rekeyed and duplicates == "error":
            raise TemplateError(f"Key {item[key]} is not unique, cannot correctly turn into dict")
        rekeyed[item[key]] = item
    return rekeyed


def zip_longest(*lists: Iterable[Any], fillvalue: Any = None) -> list[tuple[Any, ...]]:
    """Items of several lists side by side, to the end of the longest."""
    return list(itertools.zip_longest(*lists, fillvalue=fillvalue))


FILTERS: Mapping[str, Callable[..., Any]] = {
    "combine": combine,
    "dict2items": dict2items,
    "items2dict": items2dict,
    "flatten": flatten,
    "unique": unique,
    "union": union,
    "intersect": intersect,
    "difference": difference,
    "symmetric_difference": symmetric_difference,
    "subelements": subelements,
    "rekey_on_member": rekey_on_member,
    "zip": lambda *lists: [list(row) for row in zip(*lists)],
    "zip_longest": zip_longest,
    "product": lambda *lists, **given: list(itertools.product(*lists, **given)),
    "permutations": lambda items, *length: list(itertools.permutations(items, *length)),
    "combinations": lambda items, length: list(itertools.combinations(items, length)),
}
