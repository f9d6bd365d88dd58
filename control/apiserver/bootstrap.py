"""What must exist in every cluster and the API server itself makes: the system's namespaces first of all.

Invariant: run again at any time, it makes only what is missing.
"""

from __future__ import annotations

import logging

from api import errors
from api.objects import Object
from api.runtime import Event
from control.apiserver.handlers.creating import create_object
from control.apiserver.handlers.decoding import completed
from control.apiserver.identity import MASTERS_GROUP, User
from control.apiserver.operation import CREATE, Operation
from control.apiserver.server import ApiServer
from control.kvstore.store import StoreError

log = logging.getLogger(__name__)

NAMESPACES = ("kube-system", "default", "kube-public", "kube-node-lease")
_PERIOD = 30.0
_SELF = User("system:apiserver", (MASTERS_GROUP,))


class Bootstrap:
    """Makes what is missing, now and every half minute."""

    def __init__(self, server: ApiServer) -> None:
        self._server = server

    def start(self, stop: Event) -> None:
        """Once now, then in a task of its own until `stop`."""
        self.once()
        self._server.runtime.spawn("bootstrap", self._run, stop)

    def _run(self, stop: Event) -> None:
        while not stop.wait(_PERIOD):
            self.once()

    def once(self) -> None:
        """Make what is missing."""
        try:
            for name in NAMESPACES:
                self.ensure("", "v1", "namespaces", {"metadata": {"name": name}})
        except (errors.ApiError, StoreError) as error:
            log.warning("bootstrap objects could not be made, trying again: %s", error)

    def ensure(self, group: str, version: str, plural: str, obj: Object) -> None:
        """Create an object unless it is there."""
        endpoint = self._server.endpoint(group, version, plural)
        metadata = obj["metadata"]
        namespace = metadata.get("namespace", "")
        if self._server.cache.peek(endpoint.key(namespace, metadata["name"])) is not None:
            return
        operation = Operation(self._server, endpoint, CREATE, _SELF, namespace, metadata["name"])
        try:
            create_object(operation, completed(operation, obj))
        except errors.AlreadyExists:
            return
