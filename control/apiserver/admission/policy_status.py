"""The status of validating admission policies: what the type checker says of their expressions.

Invariant: a warning names a kind that the policy's rules name literally; what cannot be known is not warned of.
Source: apiserver/pkg/admission/plugin/policy/validating/typechecking.go.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

from api import cel, errors, schema
from api.cel.authorizer import authorizer_functions
from api.cel.types import Types
from api.objects import Object
from api.registry import Entry
from api.runtime import Event
from api.workqueue import WorkQueue, work
from control.apiserver.admission.policies import GROUP
from control.apiserver.cached import CachedObject
from control.apiserver.handlers.updating import update_object
from control.apiserver.identity import SERVER
from control.apiserver.operation import UPDATE, Operation
from control.apiserver.server import ApiServer

_PLURAL = "validatingadmissionpolicies"
_MOST_KINDS = 10


class PolicyController:
    """Checks each policy after it has changed."""

    def __init__(self, server: ApiServer) -> None:
        self._server = server
        self._queue = WorkQueue(server.runtime)
        self._collection = server.cache.collection(GROUP, _PLURAL)

    def start(self, stop: Event) -> None:
        """Work in a task of its own until `close`."""
        self._collection.observe(self._changed)
        self._server.runtime.spawn("policies", work, self._queue, self.reconcile, stop, "policies")

    def close(self) -> None:
        """Let the worker end."""
        self._queue.stop()

    def _changed(self, old: CachedObject | None, new: CachedObject | None) -> None:
        if new is not None:
            self._queue.add(new.key)

    def reconcile(self, name: str) -> float | None:
        """Set one policy's status."""
        found = self._collection.objects.get(name)
        if found is None:
            return None
        policy = found.object()
        generation = policy["metadata"].get("generation", 1)
        if (policy.get("status") or {}).get("observedGeneration") == generation:
            return None
        checking: Object = {}
        warnings = list(self._warnings(policy))
        if warnings:
            checking["expressionWarnings"] = warnings
        status = (policy.get("status") or {}) | {"observedGeneration": generation, "typeChecking": checking}
        endpoint = self._server.endpoint(GROUP, "v1", _PLURAL)
        operation = Operation(self._server, endpoint, UPDATE, SERVER, name=name, subresource="status")
        with suppress(errors.NotFound):
            update_object(operation, lambda current: current | {"status": status})
        return None

    def _warnings(self, policy: Object) -> Iterator[Object]:
        entries = list(self._entries(policy["spec"].get("matchConstraints") or {}))
        for index, validation in enumerate(policy["spec"].get("validations") or ()):
            for field in ("expression", "messageExpression"):
                text = str(validation.get(field) or "")
                found = [sentence for entry in entries for sentence in self._check(entry, text)] if text else []
                if found:
                    yield {"fieldRef": f"spec.validations[{index}].{field}", "warning": "\n".join(found)}

    def _entries(self, constraints: Mapping[str, Any]) -> Iterator[Entry]:
        """The kinds that rules name without wildcards."""
        seen = 0
        for rule in constraints.get("resourceRules") or ():
            for group in rule.get("apiGroups") or ():
                for version in rule.get("apiVersions") or ():
                    for plural in rule.get("resources") or ():
                        entry = self._server.registry.find(group, version, plural)
                        if entry is not None and seen < _MOST_KINDS:
                            seen += 1
                            yield entry

    def _check(self, entry: Entry, text: str) -> Iterator[str]:
        types = Types(schema.resolve)
        custom = self._server.custom.version(entry)
        kind = types.add(custom.shape if custom else schema.definition(entry.definition))
        variables = cel.ADMISSION_VARIABLES | {"object": kind, "oldObject": kind}
        environment = cel.Environment(variables, types.pool, authorizer_functions(None))
        try:
            environment.compile(text)
        except cel.CelError as error:
            resource = entry.resource
            yield f"{resource.api_version}, Kind={resource.kind}: {str(error).removeprefix('compilation failed: ')}"
