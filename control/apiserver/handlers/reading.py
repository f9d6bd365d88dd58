"""get and list.

A read without resourceVersion is consistent: the cache first catches up with the store. One with
resourceVersion=0 takes the cache as it is. Pages after the first, and exact versions, are read from the store's
past.

Invariant: all pages of one list show the same revision.
Source: "Kubernetes API Concepts", resource versions and large result sets.
"""

from __future__ import annotations

from collections.abc import Sequence

import orjson

from api import errors
from api.errors import Cause
from api.naturals import natural
from api.objects import Object
from api.selectors import FieldSelector
from api.validation import fields
from control.apiserver import codec
from control.apiserver.cached import CachedObject
from control.apiserver.endpoint import Endpoint
from control.apiserver.handlers.continuation import LATEST, Continuation, decode_token, encode_token
from control.apiserver.handlers.forms import object_response, partial_metadata, table_text, text_response
from control.apiserver.negotiation import Accepted, accepted
from control.apiserver.request import Request
from control.apiserver.response import Response
from control.apiserver.selection import Selection, selection
from control.apiserver.server import ApiServer
from control.apiserver.storage import prefix, prefix_range, texts
from control.kvstore.store import RangeResult

MATCH, NOT_OLDER = "resourceVersionMatch", "NotOlderThan"
_CONTINUE_EXPIRED = (
    "The provided continue parameter is too old to display a consistent list result. You can start a new list without "
    "the continue parameter, or use the continue token in this response to retrieve the remainder of the results. "
    "Continuing with the provided token results in an inconsistent list - objects that were created, modified, or "
    "deleted between the time the first chunk was returned and now may show up in the list."
)


def get(server: ApiServer, endpoint: Endpoint, request: Request) -> Response:
    """One object."""
    version = _resource_version(request)
    if version is None:
        server.cache.catch_up()
    elif version:
        server.cache.wait(version)
    key = endpoint.key(request.info.namespace, request.info.name)
    found = server.cache.peek(key)
    if found is None:
        resource = endpoint.entry.resource
        raise errors.not_found(resource.plural, resource.group, request.info.name)
    return object_response(server, endpoint, request, found.text)


def list_objects(server: ApiServer, endpoint: Endpoint, request: Request) -> Response:
    """A page of a collection."""
    chosen = selection(request, endpoint.entry.resource, endpoint.fields, endpoint.labels)
    late = FieldSelector()
    if endpoint.converts_late:
        chosen, late = chosen.split()
    limit = max(0, request.number("limit") or 0)
    version, match, token = check_list_options(request)
    form = accepted(request)
    if token:
        if version:
            raise errors.BadRequest("specifying resource version is not allowed when using continue")
        return _page(server, endpoint, request, (chosen, late), decode_token(token), limit, form)
    if match == "Exact":
        return _page(server, endpoint, request, (chosen, late), Continuation(version or 0, ""), limit, form)
    if version is None:
        server.cache.catch_up()
    elif version:
        server.cache.wait(version)
    with server.cache.lock():
        revision = server.cache.revision
        objects = endpoint.collection.select(chosen.namespace)
    objects = meant(endpoint, objects, chosen, late)
    metadata: Object = {"resourceVersion": str(revision)}
    if limit and version != 0 and len(objects) > limit:
        _add_continue(metadata, chosen, objects[limit - 1].key, revision, len(objects) - limit)
        objects = objects[:limit]
    return list_response(server, endpoint, request, form, [found.text for found in objects], metadata)


def check_list_options(request: Request) -> tuple[int | None, str, str]:
    """(resourceVersion, resourceVersionMatch, continue). Raises BadRequest, Invalid."""
    request.number("timeoutSeconds")
    token, match = request.query.get("continue", ""), request.query.get(MATCH, "")
    version = _resource_version(request)
    if "sendInitialEvents" in request.query:
        cause = Cause("FieldValueForbidden", "Forbidden: sendInitialEvents is forbidden for list", "sendInitialEvents")
        raise errors.invalid("ListOptions", "meta.k8s.io", "", [cause])
    _check_match(version, match, token)
    return version, match, token


def meant(
    endpoint: Endpoint, objects: list[CachedObject], chosen: Selection, late: FieldSelector
) -> list[CachedObject]:
    """Those objects that are selected, `late` by the fields that they have at this address."""
    if not chosen.everything:
        objects = [found for found in objects if chosen.matches(found)]
    if late.empty:
        return objects
    shown = endpoint.all_outgoing([found.text for found in objects])
    return [found for found, text in zip(objects, shown, strict=True) if endpoint.selects(late, text)]


def _page(
    server: ApiServer,
    endpoint: Endpoint,
    request: Request,
    wanted: tuple[Selection, FieldSelector],
    start: Continuation,
    limit: int,
    form: Accepted,
) -> Response:
    """A page at one revision of the past, after the key `start` names."""
    chosen, late = wanted
    everything = chosen.everything and late.empty
    base, fields = prefix(endpoint.storage), endpoint.collection.fields
    first, end = prefix_range(endpoint.storage, chosen.namespace)
    if start.after:
        first = f"{base}{start.after}\x00".encode()
    found: list[bytes] = []
    metadata: Object = {}
    more, remaining, last, revision = True, 0, "", max(0, start.revision)
    while more and (not limit or len(found) < limit):
        page = _stored_page(server, first, end, revision, limit, start)
        revision = revision or page.revision
        more, remaining = page.more, page.count - len(page.items)
        named = [(item.key.decode()[len(base) :], item.mod_revision) for item in page.items]
        held = texts(page.items)
        if not everything:
            objects = [CachedObject(*one, text, fields) for one, text in zip(named, held, strict=True)]
            selected = {one.key for one in meant(endpoint, objects, chosen, late)}
        for (key, _), text in zip(named, held, strict=True):
            if limit and len(found) == limit:
                more = True
                break
            last = key
            if everything or key in selected:
                found.append(text)
        if page.items:
            first = page.items[-1].key + b"\x00"
    metadata["resourceVersion"] = str(revision)
    if more:
        _add_continue(metadata, chosen, last, revision, remaining)
    return list_response(server, endpoint, request, form, found, metadata)


def _stored_page(
    server: ApiServer, first: bytes, end: bytes, revision: int, limit: int, start: Continuation
) -> RangeResult:
    try:
        return server.storage.page(first, end, revision, limit)
    except errors.Expired as error:
        if not start.after:
            raise
        raise errors.Expired(_CONTINUE_EXPIRED, continuation=encode_token(Continuation(LATEST, start.after))) from error


def _add_continue(metadata: Object, chosen: Selection, after: str, revision: int, remaining: int) -> None:
    metadata["continue"] = encode_token(Continuation(revision, after))
    if chosen.everything:
        metadata["remainingItemCount"] = remaining


def list_response(
    server: ApiServer,
    endpoint: Endpoint,
    request: Request,
    form: Accepted,
    found: Sequence[bytes],
    metadata: Object,
) -> Response:
    """A list of stored texts in the form asked for."""
    outgoing = endpoint.all_outgoing(found)
    if form.convert_to == "Table":
        objects = [codec.decode(text) for text in outgoing]
        return text_response(request, form, table_text(server, endpoint, request, form, objects, metadata))
    if form.convert_to:
        listing = {
            "kind": "PartialObjectMetadataList",
            "apiVersion": f"meta.k8s.io/{form.version}",
            "metadata": metadata,
            "items": [partial_metadata(codec.decode(text), form.version) for text in outgoing],
        }
        return text_response(request, form, orjson.dumps(listing))
    resource = endpoint.entry.resource
    is_plain = not endpoint.custom and not endpoint.conversion
    head = orjson.dumps({"kind": endpoint.entry.list_kind, "apiVersion": resource.api_version, "metadata": metadata})
    return text_response(request, form, codec.list_text(head, outgoing, bare=is_plain))


def _resource_version(request: Request) -> int | None:
    """The resourceVersion asked for; None if there is none. Raises Invalid."""
    text = request.query.get("resourceVersion", "")
    if not text:
        return None
    number = natural(text)
    if number is None:
        raise errors.BadRequest(f'Invalid value: "{text}": strconv.ParseUint: parsing "{text}": invalid syntax')
    return number


def _check_match(version: int | None, match: str, token: str) -> None:
    if not match:
        return
    found = []
    if version is None:
        found.append(fields.forbidden(MATCH, "resourceVersionMatch is forbidden unless resourceVersion is provided"))
    if token:
        found.append(fields.forbidden(MATCH, "resourceVersionMatch is forbidden when continue is provided"))
    if match not in ("Exact", NOT_OLDER):
        found.append(fields.not_supported(MATCH, match, ("Exact", NOT_OLDER, "")))
    if match == "Exact" and version == 0:
        detail = 'resourceVersionMatch "exact" is forbidden for resourceVersion "0"'
        found.append(fields.forbidden(MATCH, detail))
    if found:
        raise errors.invalid("ListOptions", "meta.k8s.io", "", found)
