"""Finds protobuf messages in the source of Go types, for the distiller only: those that no program at hand carries.

Only what the few files of the API that are read this way hold is understood; anything else raises KeyError.
Invariant: as of go_tags.
"""

from __future__ import annotations

import re

from api.schema.go_tags import Message, read

_STRUCT = re.compile(r"^type (\w+) struct \{\n(.*?)^\}", re.MULTILINE | re.DOTALL)
_TEXT = re.compile(r"^type (\w+) string$", re.MULTILINE)
_FIELD = re.compile(r"^\t(?:(\w+) +)?(\*?)(\[\])?([\w.]+) +`([^`]*)`", re.MULTILINE)
_KINDS = {"string": "string", "bool": "bool", "int32": "int32", "int64": "int64"}
_META = "metav1."


def messages(source: str, package: str) -> dict[str, Message]:
    """Definition name to fields, for the structs of one file of a package (`io.k8s.….v1`)."""
    kinds = _KINDS | dict.fromkeys(_TEXT.findall(source), "string")
    known = {name for name, _ in _STRUCT.findall(source)}
    found: dict[str, Message] = {}
    for struct, body in _STRUCT.findall(source):
        message = found[f"{package}.{struct}"] = {}
        for name, pointer, many, kind, tag in _FIELD.findall(body):
            field = read(name or kind.rpartition(".")[2], tag, embedded=not name)
            if field is None:
                continue
            label = "optional" if pointer else "repeated" if many else "inline" if field.inline else ""
            if many and kind == "byte":
                message[field.name] = [field.number, "bytes", "optional", ""]
            elif kind in kinds:
                message[field.name] = [field.number, kinds[kind], label, ""]
            else:
                message[field.name] = [field.number, "message", label, _definition(kind, package, known)]
    return found


def _definition(kind: str, package: str, known: set[str]) -> str:
    if kind.startswith(_META):
        return f"io.k8s.apimachinery.pkg.apis.meta.v1.{kind.removeprefix(_META)}"
    if kind not in known:
        raise KeyError(kind)
    return f"{package}.{kind}"
