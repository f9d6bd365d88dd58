"""componentstatuses: whether the store answers, and whether a scheduler and controllers are at work.

Invariant: nothing is stored; a component is healthy while its leader renews its Lease in time.
Source: pkg/registry/core/componentstatus/rest.go, which asks the components' health instead.
"""

from __future__ import annotations

from collections.abc import Iterator

import orjson

from api import errors
from api.objects import Object, name_of
from api.runtime import parse_timestamp
from control.apiserver.cached import CachedObject
from control.apiserver.endpoint import Endpoint
from control.apiserver.handlers.forms import converter, partial_metadata, table_text, text_response
from control.apiserver.negotiation import accepted
from control.apiserver.request import Request
from control.apiserver.response import Response
from control.apiserver.selection import selection
from control.apiserver.server import ApiServer
from control.kvstore.store import StoreError

_LED = {"scheduler": "kube-scheduler", "controller-manager": "kube-controller-manager"}


def get(server: ApiServer, endpoint: Endpoint, request: Request) -> Response:
    """One component."""
    name = request.info.name
    found = next((one for one in _components(server) if name_of(one) == name), None)
    if found is None:
        raise errors.not_found(endpoint.entry.resource.plural, "", name)
    form = accepted(request)
    text = orjson.dumps(found)
    return text_response(request, form, converter(server, endpoint, request, form)(text) if form.convert_to else text)


def list_all(server: ApiServer, endpoint: Endpoint, request: Request) -> Response:
    """The components that are selected."""
    chosen = selection(request, endpoint.entry.resource, endpoint.fields, endpoint.labels)
    form = accepted(request)
    found = [
        one
        for one in _components(server)
        if chosen.matches(CachedObject(name_of(one), 0, orjson.dumps(one), endpoint.collection.fields))
    ]
    if form.convert_to == "Table":
        return text_response(request, form, table_text(server, endpoint, request, form, found, {}))
    if form.convert_to:
        head = {"kind": "PartialObjectMetadataList", "apiVersion": f"meta.k8s.io/{form.version}", "metadata": {}}
        items = [partial_metadata(one, form.version) for one in found]
        return text_response(request, form, orjson.dumps(head | {"items": items}))
    bare = [{"metadata": one["metadata"], "conditions": one["conditions"]} for one in found]
    listing = {"kind": "ComponentStatusList", "apiVersion": "v1", "metadata": {}, "items": bare}
    return text_response(request, form, orjson.dumps(listing))


def _components(server: ApiServer) -> Iterator[Object]:
    server.cache.catch_up()
    for name, lease in _LED.items():
        yield _component(name, _trouble_of_leader(server, lease))
    yield _component("etcd-0", _trouble_of_store(server))


def _component(name: str, trouble: str) -> Object:
    condition = {"type": "Healthy", "status": "False" if trouble else "True", "message": trouble or "ok"}
    return {"kind": "ComponentStatus", "apiVersion": "v1", "metadata": {"name": name}, "conditions": [condition]}


def _trouble_of_leader(server: ApiServer, name: str) -> str:
    """Why a component that campaigns for that Lease is not at work, "" if it is."""
    found = server.cache.collection("coordination.k8s.io", "leases").objects.get(f"kube-system/{name}")
    spec = found.object().get("spec") or {} if found is not None else {}
    if not spec.get("holderIdentity") or not spec.get("renewTime"):
        return f"nobody leads: the lease kube-system/{name} has no holder"
    late = server.runtime.time() - parse_timestamp(spec["renewTime"]) - float(spec.get("leaseDurationSeconds") or 0)
    return "" if late <= 0 else f"{spec['holderIdentity']} has not renewed the lease kube-system/{name} in time"


def _trouble_of_store(server: ApiServer) -> str:
    try:
        server.storage.revision()
    except StoreError as error:
        return str(error)
    return ""
