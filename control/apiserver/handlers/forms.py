"""Objects and lists in the form a client asked for: themselves, metadata only, or a table.

Invariant: a plain JSON answer is made of the stored bytes, without parsing.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import orjson

from api import errors
from api.objects import Object
from control.apiserver import codec, printing
from control.apiserver.cached import Form
from control.apiserver.endpoint import Endpoint
from control.apiserver.negotiation import PLAIN, Accepted, accepted, pretty, render
from control.apiserver.printing.columns import Printer
from control.apiserver.request import Request
from control.apiserver.response import JSON, Response, warning_headers
from control.apiserver.server import ApiServer

_COPIED = 1 << 16


def object_response(
    server: ApiServer, endpoint: Endpoint, request: Request, text: bytes, status: int = 200
) -> Response:
    """One object, from its stored text."""
    form = accepted(request)
    text = endpoint.outgoing(text)
    if form.convert_to:
        text = converter(server, endpoint, request, form)(text)
    return text_response(request, form, text, status)


def text_response(request: Request, form: Accepted, text: bytes, status: int = 200) -> Response:
    """A JSON text in the media type asked for, with the request's warnings."""
    if form is PLAIN and not request.warnings and not pretty(request):
        return Response([text, b"\n"] if len(text) > _COPIED else text + b"\n", status)
    body, media = render(request, form, text)
    return Response(body, status, media, warning_headers(request.warnings))


def converter(server: ApiServer, endpoint: Endpoint, request: Request, form: Accepted) -> Callable[[bytes], bytes]:
    """The function that makes one object's text what `form` says. Raises NotAcceptable."""
    if form.convert_to == "Table":
        return partial(_table_text, server, endpoint, request, form)
    if form.convert_to == "PartialObjectMetadata":
        return partial(_metadata_text, form.version)
    raise errors.NotAcceptable("only the following media types are accepted: application/json")


def watch_form(server: ApiServer, endpoint: Endpoint, request: Request, form: Accepted) -> Form | None:
    """How a watch translates each object, None if not at all. Equal wishes give the identical function, so that a
    line is made once for all watchers that share it."""
    if form.convert_to == "PartialObjectMetadata":
        return _METADATA_FORMS[form.version]
    if form.convert_to == "Table":
        return _TableForm(partial(_table_text, server, endpoint, request, form), endpoint)
    if form.convert_to:
        raise errors.NotAcceptable("only the following media types are accepted: application/json;stream=watch")
    return None if endpoint.conversion is None else endpoint.outgoing


def _metadata_text(version: str, text: bytes) -> bytes:
    return orjson.dumps(partial_metadata(codec.decode(text), version))


_METADATA_FORMS: dict[str, Form] = {version: partial(_metadata_text, version) for version in ("v1", "v1beta1")}


def partial_metadata(obj: Object, version: str) -> Object:
    """A PartialObjectMetadata of an object."""
    return {"kind": "PartialObjectMetadata", "apiVersion": f"meta.k8s.io/{version}", "metadata": obj["metadata"]}


class _TableForm:
    """Rows of a watch as tables; the columns are described in the first one only, as the original does."""

    def __init__(self, make: Callable[[bytes], bytes], endpoint: Endpoint) -> None:
        self._make = make
        self._endpoint = endpoint
        self._described = False

    def __call__(self, text: bytes) -> bytes:
        made = self._make(self._endpoint.outgoing(text))
        if self._described:
            table = orjson.loads(made)
            table["columnDefinitions"] = None
            made = orjson.dumps(table)
        self._described = True
        return made


def _table_text(server: ApiServer, endpoint: Endpoint, request: Request, form: Accepted, text: bytes) -> bytes:
    obj = codec.decode(text)
    # What is not stored has no revision.
    metadata = {key: value for key, value in obj["metadata"].items() if key == "resourceVersion"}
    return table_text(server, endpoint, request, form, [obj], metadata)


def table_text(
    server: ApiServer,
    endpoint: Endpoint,
    request: Request,
    form: Accepted,
    objects: list[Object],
    metadata: Object,
    printer: Printer | None = None,
) -> bytes:
    """A Table of objects; `includeObject` says how much of each object its row carries."""
    include = request.query.get("includeObject", "Metadata")
    version = f"meta.k8s.io/{form.version}"
    printer = printer or (endpoint.custom.printer if endpoint.custom else None)
    table = printing.table(endpoint.entry, objects, metadata, include, server.runtime.time(), version, printer)
    return orjson.dumps(table)


__all__ = ["JSON", "converter", "object_response", "table_text", "text_response", "watch_form"]
