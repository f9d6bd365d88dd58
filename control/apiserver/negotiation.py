"""What form a client wants its answer in, and what form its body came in.

Invariant: the first acceptable entry of Accept wins; JSON is preferred to protobuf where a client takes both.
Source: RFC 9110 section 12.5.1; apiserver/pkg/endpoints/handlers/negotiation.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import orjson
import yaml

from api import errors, protobuf
from api.objects import Object
from control.apiserver.request import Request

JSON = "application/json"
YAML = "application/yaml"
PROTOBUF = "application/vnd.kubernetes.protobuf"

YAMLS = frozenset({YAML, "text/yaml"})

_KNOWN = {JSON: JSON, YAML: YAML, PROTOBUF: PROTOBUF, "text/yaml": YAML, "application/*": JSON, "*/*": JSON}
_AS = frozenset({"Table", "PartialObjectMetadata", "PartialObjectMetadataList"})
_PRETTY_AGENTS = ("curl", "Wget", "Mozilla/5.0")
_SUMMARY = 30
_DEEPEST = 200


@dataclass(frozen=True, slots=True)
class Accepted:
    """The media type to answer with, and the meta.k8s.io kind and version to convert to ("" for none)."""

    media: str
    convert_to: str = ""
    version: str = ""


PLAIN = Accepted(JSON)


def accepted(request: Request, *, transforms: bool = True) -> Accepted:
    """The form of the answer; not every resource has tables and metadata. Raises NotAcceptable."""
    found = _choose(request.header("Accept"), transforms)
    if found is None:
        raise _not_acceptable()
    return found


def _not_acceptable() -> errors.NotAcceptable:
    return errors.NotAcceptable(
        "only the following media types are accepted: application/json, application/yaml, "
        "application/vnd.kubernetes.protobuf, application/json;stream=watch, application/yaml;stream=watch, "
        "application/vnd.kubernetes.protobuf;stream=watch"
    )


@lru_cache(maxsize=512)
def _choose(header: str, transforms: bool) -> Accepted | None:
    if not header.strip():
        return PLAIN
    found = [one for one in (_accepted(parameters) for parameters in _clauses(header)) if one is not None]
    found = [one for one in found if transforms or not one.convert_to]
    if not found:
        return None
    first = found[0]
    if first.media == PROTOBUF:
        return next((one for one in found if one.media == JSON and one.convert_to == first.convert_to), first)
    return first


def _clauses(header: str) -> list[tuple[str, dict[str, str]]]:
    """Media type and parameters of each entry, by falling quality."""
    entries = []
    for clause in header.split(","):
        media, *parameters = (part.strip() for part in clause.split(";"))
        pairs = dict(parameter.partition("=")[::2] for parameter in parameters)
        try:
            quality = float(pairs.pop("q", "1"))
        except ValueError:
            quality = 0.0
        if quality > 0:
            entries.append((quality, media.lower(), pairs))
    entries.sort(key=lambda entry: -entry[0])
    return [(media, pairs) for _, media, pairs in entries]


def _accepted(clause: tuple[str, Mapping[str, str]]) -> Accepted | None:
    media, parameters = clause
    known = _KNOWN.get(media)
    wanted = parameters.get("as", "")
    if known is None:
        return None
    if not wanted:
        return PLAIN if known == JSON else Accepted(known)
    version = parameters.get("v", "v1")
    if wanted not in _AS or parameters.get("g", "meta.k8s.io") != "meta.k8s.io" or version not in ("v1", "v1beta1"):
        return None
    return Accepted(known, wanted, version)


def pretty(request: Request) -> bool:
    """Whether a person reads the answer."""
    if "pretty" in request.query:
        return request.flag("pretty")
    return request.header("User-Agent").startswith(_PRETTY_AGENTS)


def render(request: Request, form: Accepted, text: bytes) -> tuple[bytes, str]:
    """(body, content type) of a JSON text in the form asked for. Raises NotAcceptable for a kind without that form."""
    if form.media == JSON:
        if pretty(request):
            option = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
            return orjson.dumps(orjson.loads(text), option=option), JSON
        return text + b"\n", JSON
    obj = orjson.loads(text)
    if form.media == YAML:
        return yaml.dump(obj, Dumper=_DUMPER, sort_keys=True).encode(), YAML
    try:
        return protobuf.encode(obj), PROTOBUF
    except errors.UnsupportedMediaType as error:
        raise _not_acceptable() from error


_DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read_object(request: Request, kind: str, version: str) -> Object:
    """The object in the body; `kind` says in messages what was expected.

    Raises BadRequest, UnsupportedMediaType, RequestEntityTooLarge.
    """
    content, media = request.body, request.content_type
    if media in ("", JSON):
        return parse_json(content, kind, version)
    if media in YAMLS:
        return parse_yaml(content, kind)
    if media == PROTOBUF:
        return protobuf.decode(content)
    raise errors.UnsupportedMediaType(
        "the body of the request was in an unknown format - accepted media types include: "
        "application/json, application/yaml, application/vnd.kubernetes.protobuf"
    )


def parse_json(content: bytes, kind: str, version: str) -> Object:
    """A JSON object. Raises BadRequest in the original's words."""
    try:
        found = orjson.loads(content)
        if content.count(b"{") + content.count(b"[") > _DEEPEST:
            # What is nested deeper than the encoder goes could be read, but never written.
            orjson.dumps(found)
    except TypeError:
        found, why = None, "exceeded max depth"
    except orjson.JSONDecodeError as error:
        found, why = None, f"couldn't get version/kind; json parse error: {error}"
    else:
        why = "json: cannot unmarshal into Go value"
    if not isinstance(found, dict):
        raise _unrecognized(content, kind, why)
    return found


def parse_yaml(content: bytes, kind: str) -> Object:
    """A YAML mapping. Raises BadRequest."""
    if content.lstrip()[:1] == b"{":
        with suppress(errors.BadRequest):
            return parse_json(content, kind, "")
    try:
        _check_nesting(content)
        found = yaml.load(content, Loader=_LOADER)
        # Dates and other types that JSON lacks become their text, as the original's converter does.
        found = orjson.loads(orjson.dumps(found, option=orjson.OPT_NON_STR_KEYS, default=str))
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        raise _unrecognized(content, kind, f"error converting YAML to JSON: yaml: {error}") from error
    if not isinstance(found, dict):
        raise _unrecognized(content, kind, "json: cannot unmarshal into Go value")
    return found


def _check_nesting(content: bytes) -> None:
    """The composer recurses in C, and aliases multiply: neither may be left to the sender. Raises ValueError."""
    depth = 0
    for event in yaml.parse(content, Loader=_LOADER):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        elif isinstance(event, yaml.AliasEvent):
            raise ValueError("aliases are not accepted")
        if depth > _DEEPEST:
            raise ValueError("the document is nested too deeply")


def _unrecognized(content: bytes, kind: str, why: str) -> errors.BadRequest:
    text = content.decode("utf-8", "replace")
    summary = text if len(text) <= _SUMMARY else f"{text[:_SUMMARY]} ..."
    return errors.BadRequest(
        f"the object provided is unrecognized (must be of type {kind}): {why} ({content[:_SUMMARY].hex()!s})"
        if not text.isprintable()
        else f"the object provided is unrecognized (must be of type {kind}): {why} ({summary})"
    )
