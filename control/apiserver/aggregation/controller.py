"""Keeps APIServices true: one for each local group version, and whether the remote ones answer.

Invariant: decides by level; a remote group version is available only after its add-on has answered discovery.
Source: kube-aggregator/pkg/controllers/{autoregister,status}; pkg/controlplane/apiserver/aggregator.go.
"""

from __future__ import annotations

import http.client
import logging
from collections.abc import Callable
from contextlib import suppress

import orjson

from api import errors, objects
from api.objects import Object
from api.runtime import Event
from control.apiserver.aggregation.describing import describe
from control.apiserver.aggregation.remote import GROUP, PLURAL, Remote
from control.apiserver.handlers import usage
from control.apiserver.handlers.creating import create_object
from control.apiserver.handlers.decoding import completed
from control.apiserver.handlers.deleting import DeleteOptions, delete_object
from control.apiserver.handlers.updating import update_object
from control.apiserver.identity import SERVER
from control.apiserver.operation import CREATE, DELETE, UPDATE, Operation
from control.apiserver.proxy.backend import Target, send
from control.apiserver.server import ApiServer
from control.kvstore.store import StoreError

log = logging.getLogger(__name__)

MANAGED = "kube-aggregator.kubernetes.io/automanaged"
_PERIOD = 10.0
_LOCAL = ("Local", "Local APIServices are always available")
_PRIORITIES = {"": 18000, "apiregistration.k8s.io": 17980, "apps": 17950, "events.k8s.io": 17750}
_DEFAULT_PRIORITY, _CUSTOM_PRIORITY, _VERSION_PRIORITY = 17000, 1000, 100


class ServiceController:
    """Settles all APIServices, after a change and every few seconds."""

    def __init__(self, server: ApiServer) -> None:
        self._server = server
        self._wake = server.runtime.event()
        self._closed = False

    def start(self, stop: Event) -> None:
        """Once now, then in a task of its own until `close`."""
        self._server.cache.collection(GROUP, PLURAL).observe(lambda old, new: self._wake.set())
        self._server.custom.listen(self._wake.set)
        self._server.runtime.spawn("apiservices", self._run, stop)

    def close(self) -> None:
        """Let the task end."""
        self._closed = True
        self._wake.set()

    def _run(self, stop: Event) -> None:
        while not stop.is_set() and not self._closed:
            self._wake.clear()
            try:
                self.once()
            except (errors.ApiError, StoreError) as error:
                log.info("APIServices could not be settled, trying again: %s", error)
            self._wake.wait(_PERIOD)

    def once(self) -> None:
        """Make what is missing, remove what is served no longer, and ask the remote ones."""
        wanted = {self._name(group, version): (group, version) for group, version in self._local()}
        present = {one.key: one.object() for one in self._server.cache.collection(GROUP, PLURAL).select("")}
        for name, (group, version) in wanted.items():
            if name not in present:
                self._create(name, group, version)
            elif not present[name]["spec"].get("service"):
                self._set_available(present[name], "True", *_LOCAL)
        for name, obj in present.items():
            if name not in wanted and MANAGED in objects.labels_of(obj):
                with suppress(errors.NotFound):
                    delete_object(self._operation(DELETE, name), DeleteOptions())
        for remote in self._server.aggregator.remotes():
            if remote.name in present:
                found = self._ask(remote)
                if found[0] == "True" and describe(remote, self._path_of(remote), self._server.runtime.monotonic()):
                    self._server.aggregator.described()
                self._set_available(present[remote.name], *found)

    def _path_of(self, remote: Remote) -> Callable[[str], Target]:
        return lambda path: self._server.aggregator.target(remote, path, SERVER)

    def _local(self) -> list[tuple[str, str]]:
        """The group versions that this server serves, but for the one that an add-on may take over by its own."""
        groups = self._server.registry.groups()
        return [(group, version) for group, versions in groups.items() for version in versions if group != usage.GROUP]

    @staticmethod
    def _name(group: str, version: str) -> str:
        return f"{version}.{group}"

    def _operation(self, verb: str, name: str, subresource: str = "") -> Operation:
        endpoint = self._server.endpoint(GROUP, "v1", PLURAL)
        return Operation(self._server, endpoint, verb, SERVER, name=name, subresource=subresource)

    def _create(self, name: str, group: str, version: str) -> None:
        is_custom = any(not one.definition for one in self._server.registry.entries() if one.resource.group == group)
        priority = _PRIORITIES.get(group, _CUSTOM_PRIORITY if is_custom else _DEFAULT_PRIORITY)
        spec = {"version": version, "groupPriorityMinimum": priority, "versionPriority": _VERSION_PRIORITY}
        if group:
            spec["group"] = group
        labels = {MANAGED: "true" if is_custom else "onstart"}
        operation = self._operation(CREATE, name)
        with suppress(errors.AlreadyExists):
            create_object(operation, completed(operation, {"metadata": {"name": name, "labels": labels}, "spec": spec}))

    def _set_available(self, obj: Object, status: str, reason: str, message: str) -> None:
        wanted = {"type": "Available", "status": status, "reason": reason, "message": message}
        present = objects.condition(obj, "Available") or {}
        if all(present.get(field) == value for field, value in wanted.items()):
            return

        def changed(current: Object) -> Object:
            conditions = current.setdefault("status", {}).setdefault("conditions", [])
            objects.set_condition(conditions, wanted, self._server.now())
            return current

        with suppress(errors.NotFound):
            update_object(self._operation(UPDATE, objects.name_of(obj), "status"), changed)

    def _ask(self, remote: Remote) -> tuple[str, str, str]:
        """(status, reason, message) of a remote group version's availability; its resources are noted."""
        service = remote.spec["service"]
        namespace, name = service["namespace"], service["name"]
        if f"{namespace}/{name}" not in self._server.cache.collection("", "services").objects:
            return "False", "ServiceNotFound", f'service/{name} in "{namespace}" is not present'
        path = f"/apis/{remote.group}/{remote.version}"
        refused: Callable[[object], tuple[str, str, str]] = lambda why: (  # noqa: E731
            "False",
            "FailedDiscoveryCheck",
            f"failing or missing response from https://{name}.{namespace}.svc{path}: {why}",
        )
        try:
            target = self._server.aggregator.target(remote, path, SERVER)
        except errors.ApiError as error:
            message = f'endpoints for service/{name} in "{namespace}" have no addresses: {error.message}'
            return "False", "MissingEndpoints", message
        try:
            answer = send(target, "GET", {"Accept": "application/json"})
            content = answer.read()
        except (errors.ApiError, OSError, http.client.HTTPException) as error:
            return refused(error)
        if answer.status != 200:
            return refused(f"bad status from https://{name}.{namespace}.svc{path}: {answer.status}")
        with suppress(orjson.JSONDecodeError, AttributeError):
            remote.told.resources = list(orjson.loads(content).get("resources") or [])
        return "True", "Passed", "all checks passed"
