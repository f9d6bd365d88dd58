"""JSON patch: a list of operations, each at a path, applied one after the other or not at all.

Invariant: the document handed in is not changed; a malformed patch is a `BadRequest`, a well-formed one that does not
fit the document is `Invalid`, as in the original.
Source: RFC 6902, RFC 6901; the original's error sentences come from its JSON patch library, for which a value that is
left out is null and an index may count from the end.
"""

from __future__ import annotations

from typing import Any

from api.errors import BadRequest, Invalid
from api.objects import copy

MAX_OPERATIONS = 10_000
_OPERATIONS = {"add", "remove", "replace", "move", "copy", "test"}
_REFUSED = "the server rejected our request due to an error in our request"


class TestFailed(Invalid):
    """The document is not as a `test` of the patch wants it."""


def apply(document: Any, patch: Any) -> Any:
    """The patched document. `patch` is the decoded body. Raises BadRequest or Invalid."""
    if not isinstance(patch, list) or not all(isinstance(operation, dict) for operation in patch):
        raise BadRequest("error decoding patch: json: cannot unmarshal object into Go value of type jsonpatch.Patch")
    if len(patch) > MAX_OPERATIONS:
        raise BadRequest(
            f"The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {len(patch)}",
        )
    root: dict[str, Any] = {"": copy(document)}
    for operation in patch:
        _apply_one(root, operation)
    return root[""]


def _apply_one(root: dict[str, Any], operation: dict[str, Any]) -> None:
    verb = operation.get("op")
    if verb not in _OPERATIONS:
        raise Invalid(f"{_REFUSED}: Unexpected kind: {verb}")
    path = _pointer(operation, "path")
    if verb == "remove":
        _remove(root, path)
    elif verb == "test":
        _test(root, path, operation)
    elif verb == "move":
        source = _pointer(operation, "from")
        _add(root, path, _remove(root, source))
    elif verb == "copy":
        _add(root, path, copy({"": _get(root, _pointer(operation, "from"))})[""])
    elif verb == "add":
        _add(root, path, operation.get("value"))
    else:
        _replace(root, path, operation.get("value"))


def _pointer(operation: dict[str, Any], member: str) -> list[str]:
    """The steps from the holder of the document; the first one is always ""."""
    text = operation.get(member)
    if not isinstance(text, str) or (text and not text.startswith("/")):
        raise Invalid(f"{_REFUSED}: {operation.get('op')} operation does not apply: doc is missing {member}: {text}")
    return [step.replace("~1", "/").replace("~0", "~") for step in text.split("/")]


def _missing(path: list[str]) -> Invalid:
    return Invalid(f"{_REFUSED}: the path {'/'.join(path)} does not exist: missing path")


def _step(container: Any, step: str, path: list[str]) -> Any:
    if isinstance(container, dict) and step in container:
        return container[step]
    if isinstance(container, list):
        return container[_index(step, len(container), path)]
    raise _missing(path)


def _index(step: str, length: int, path: list[str]) -> int:
    digits = step.removeprefix("-")
    if not digits.isdecimal() or (len(digits) > 1 and digits[0] == "0") or not -length <= int(step) < length:
        raise _missing(path)
    return int(step) % length


def _container(root: dict[str, Any], path: list[str]) -> Any:
    container: Any = root
    for step in path[:-1]:
        container = _step(container, step, path)
    return container


def _get(root: dict[str, Any], path: list[str]) -> Any:
    return _step(_container(root, path), path[-1], path)


def _add(root: dict[str, Any], path: list[str], value: Any) -> None:
    container, last = _container(root, path), path[-1]
    if isinstance(container, dict):
        container[last] = value
    elif isinstance(container, list):
        position = len(container) if last == "-" else _index(last, len(container) + 1, path)
        container.insert(position, value)
    else:
        raise _missing(path)


def _remove(root: dict[str, Any], path: list[str]) -> Any:
    if len(path) == 1:
        raise Invalid(f"{_REFUSED}: the whole document cannot be removed")
    container, last = _container(root, path), path[-1]
    value = _step(container, last, path)
    if isinstance(container, dict):
        del container[last]
    else:
        del container[_index(last, len(container), path)]
    return value


def _replace(root: dict[str, Any], path: list[str], value: Any) -> None:
    container, last = _container(root, path), path[-1]
    _step(container, last, path)
    if isinstance(container, dict):
        container[last] = value
    else:
        container[_index(last, len(container), path)] = value


def _test(root: dict[str, Any], path: list[str], operation: dict[str, Any]) -> None:
    wanted = operation.get("value")
    try:
        found = _get(root, path)
    except Invalid:
        if wanted is None and "value" in operation:
            return
        raise
    if not _equal(found, wanted):
        raise TestFailed(f"{_REFUSED}: testing value {'/'.join(path)} failed: test failed")


def _equal(left: Any, right: Any) -> bool:
    """Equality of JSON: true is not 1."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(_equal(left[key], right[key]) for key in left)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(_equal, left, right))
    return bool(left == right)
