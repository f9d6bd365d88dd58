"""The distilled facts of the Kubernetes API as they lie in this package: read once, parsed only where asked for.

Every process of Wherry imports this, so a file is decompressed on its first use and a definition becomes Python
objects when somebody asks for that definition.
Invariant: what is returned is shared by all callers and never changed.
Source of the files: `python -m api.schema.distil`.
"""

from __future__ import annotations

import lzma
from collections.abc import Iterator, Mapping
from functools import lru_cache
from importlib.resources import files
from typing import Any

import orjson

Json = dict[str, Any]


class LazyTable(Mapping[str, Json]):
    """A packaged JSON object with one member a line, whose members are parsed when first read.

    Raises KeyError for a name that the file does not have.
    """

    def __init__(self, text: bytes) -> None:
        self._raw: dict[str, bytes] = {}
        self._parsed: dict[str, Json] = {}
        for line in text.splitlines():
            if line.startswith(b'"'):
                name, _, value = line.partition(b'": ')
                self._raw[name[1:].decode()] = value.rstrip(b",")

    def __getitem__(self, name: str) -> Json:
        found = self._parsed.get(name)
        if found is None:
            found = self._parsed[name] = orjson.loads(self._raw[name])
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(self._raw)

    def __len__(self) -> int:
        return len(self._raw)


def render(table: Mapping[str, Any]) -> bytes:
    """The text that `LazyTable` reads: a JSON object, sorted, one member a line."""
    lines = [f'"{name}": '.encode() + orjson.dumps(table[name], option=orjson.OPT_SORT_KEYS) for name in sorted(table)]
    return b"{\n" + b",\n".join(lines) + b"\n}\n"


def read(name: str) -> bytes:
    """The bytes of a packaged data file, decompressed if its name ends in .xz."""
    content = files("api.schema").joinpath("data", name).read_bytes()
    return lzma.decompress(content) if name.endswith(".xz") else content


@lru_cache(maxsize=1)
def definitions() -> LazyTable:
    """OpenAPI definition name (`io.k8s.api.core.v1.Pod`) to its schema without descriptions."""
    return LazyTable(read("definitions.json.xz"))


@lru_cache(maxsize=1)
def descriptions() -> LazyTable:
    """OpenAPI definition name to {"": what it is, field: what that is}; only OpenAPI and Table headers need them."""
    return LazyTable(read("descriptions.json.xz"))


@lru_cache(maxsize=1)
def messages() -> LazyTable:
    """OpenAPI definition name to its protobuf message: {field: [number, kind, label, message definition]}."""
    return LazyTable(read("protobuf.json.xz"))


@lru_cache(maxsize=1)
def resources() -> Json:
    """{"level": API level, "resources": [one object each, in the order of discovery], "kinds": {…}}."""
    return orjson.loads(read("resources.json"))  # type: ignore[no-any-return]
