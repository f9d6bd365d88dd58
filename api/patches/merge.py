"""JSON merge patch: what the patch says replaces what was there, null removes it, lists are replaced whole.

Invariant: neither argument is changed; parts that no patch touches are shared with the original.
Source: RFC 7386.
"""

from __future__ import annotations

from typing import Any


def apply(original: Any, patch: Any) -> Any:
    """The patched value; `original` may be None for something absent."""
    if not isinstance(patch, dict):
        return patch
    result = dict(original) if isinstance(original, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = apply(result.get(key), value)
    return result


def diff(original: Any, modified: Any) -> Any:
    """The merge patch that makes `modified` of `original`; None inside lists is kept as it is."""
    if not isinstance(original, dict) or not isinstance(modified, dict):
        return modified
    patch: dict[str, Any] = {key: None for key in original if key not in modified}
    for key, value in modified.items():
        if key not in original:
            patch[key] = value
        elif original[key] != value:
            patch[key] = diff(original[key], value)
    return patch
