"""YAML whose values remember where they stood, so that every later complaint can name file and line.

Mappings and sequences come back as `MarkedDict` and `MarkedList`; scalars are plain Python values, `UnsafeText`
(`!unsafe`: never a template) or `EncryptedText` (`!vault`).

Invariant: reading is YAML 1.1 as Ansible reads it (`yes` is true, `0644` is octal); a duplicate key is an error.
"""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from inventory.errors import DocumentError

_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Mark(NamedTuple):
    """A place in a file; lines and columns count from 1."""

    path: str
    line: int
    column: int = 1

    def __str__(self) -> str:
        return f"{self.path}:{self.line}"


class MarkedDict(dict[str, Any]):
    """A mapping that knows where it began and where each of its keys stood."""

    __slots__ = ("key_marks", "mark")

    def __init__(self, mark: Mark) -> None:
        super().__init__()
        self.mark = mark
        self.key_marks: dict[str, Mark] = {}

    def mark_of(self, key: str) -> Mark:
        """Where `key` stood, or the mapping itself for a key that came from elsewhere."""
        return self.key_marks.get(key, self.mark)


class MarkedList(list[Any]):
    """A sequence that knows where it began."""

    __slots__ = ("mark",)

    def __init__(self, mark: Mark) -> None:
        super().__init__()
        self.mark = mark


class UnsafeText(str):
    """Text that must never be read as a template."""

    __slots__ = ()


class EncryptedText(str):
    """The ciphertext of a `!vault` scalar, not yet decrypted."""

    __slots__ = ()


class _Loader(_Base):  # type: ignore[misc]
    """The YAML loader of one file; `path` is set by `parse` before loading."""

    path = ""

    def mark(self, node: yaml.Node) -> Mark:
        start = node.start_mark
        return Mark(self.path, start.line + 1, start.column + 1)


def _mapping(loader: _Loader, node: yaml.MappingNode) -> Any:
    result = MarkedDict(loader.mark(node))
    yield result
    written_here = {id(key) for key, _ in node.value}
    loader.flatten_mapping(node)
    seen: set[Any] = set()
    for key_node, value_node in node.value:
        key: Any = loader.construct_object(key_node, deep=True)
        mark = loader.mark(key_node)
        hashable = isinstance(key, Hashable)
        if not hashable:
            raise DocumentError(f"{mark}: a mapping's key must be a plain value, not a collection")
        if id(key_node) in written_here:
            if key in seen:
                raise DocumentError(f"{mark}: the key {key!r} stands here a second time; remove one of the two")
            seen.add(key)
        result[key] = loader.construct_object(value_node, deep=True)
        result.key_marks[key] = mark


def _sequence(loader: _Loader, node: yaml.SequenceNode) -> Any:
    result = MarkedList(loader.mark(node))
    yield result
    result.extend(loader.construct_object(child, deep=True) for child in node.value)


def _unsafe(loader: _Loader, node: yaml.Node) -> Any:
    if isinstance(node, yaml.ScalarNode):
        return UnsafeText(loader.construct_scalar(node))
    constructed = loader.construct_sequence if isinstance(node, yaml.SequenceNode) else loader.construct_mapping
    return unsafe(constructed(node, deep=True))


def unsafe(value: Any) -> Any:
    """A value of which no text is ever read as a template."""
    if isinstance(value, str):
        return UnsafeText(value)
    if isinstance(value, dict):
        return {key: unsafe(item) for key, item in value.items()}
    if isinstance(value, list):
        return [unsafe(item) for item in value]
    return value


_Loader.add_constructor("tag:yaml.org,2002:map", _mapping)
_Loader.add_constructor("tag:yaml.org,2002:seq", _sequence)
_Loader.add_constructor("!unsafe", _unsafe)
for _tag in ("!vault", "!vault-encrypted"):
    _Loader.add_constructor(_tag, lambda loader, node: EncryptedText(loader.construct_scalar(node)))


def parse(text: str, path: str | Path) -> Any:
    """The single document of `text`; `path` is only for marks. Raises DocumentError."""
    loader = _Loader(text)
    loader.path = str(path)
    try:
        return loader.get_single_data()
    except yaml.MarkedYAMLError as error:
        raise DocumentError(_explain(error, str(path))) from error
    except yaml.YAMLError as error:
        raise DocumentError(f"{path}: not YAML: {error}") from error
    finally:
        loader.dispose()


def parse_file(path: str | Path) -> Any:
    """`parse` of a file's text. Raises DocumentError also when it cannot be read."""
    return parse(read_text(path), path)


def read_text(path: str | Path, encoding: str = "utf-8") -> str:
    """A file's text. Raises DocumentError."""
    try:
        return Path(path).read_text(encoding=encoding)
    except UnicodeDecodeError as error:
        raise DocumentError(f"{path}: not {encoding.upper()} text (byte {error.start})") from error
    except LookupError as error:
        raise DocumentError(f"{path}: cannot be read: {error}") from error
    except OSError as error:
        raise DocumentError(f"{path}: cannot be read: {error.strerror or error}") from error


def _explain(error: yaml.MarkedYAMLError, path: str) -> str:
    place = error.problem_mark or error.context_mark
    where = f"{path}:{place.line + 1}" if place else path
    context = f" {error.context}" if error.context else ""
    return f"{where}: not YAML: {error.problem or error}{context}"
