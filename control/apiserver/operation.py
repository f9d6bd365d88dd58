"""One write under way: who does what to which object, with which options. Admission and strategies look at this.

Invariant: an operation's options have been checked; `dry_run` means that nothing of it may be stored.
Source: apiserver/pkg/admission.Attributes; metav1.CreateOptions, UpdateOptions, PatchOptions, DeleteOptions.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from api import errors
from api.errors import Cause
from api.protobuf.special import parse_duration
from api.resources import Resource
from api.validation import fields
from control.apiserver.identity import User
from control.apiserver.request import LONG_RUNNING, Request
from control.apiserver.storage import Key

if TYPE_CHECKING:
    from control.apiserver.admission.reinvocation import Rounds
    from control.apiserver.endpoint import Endpoint
    from control.apiserver.server import ApiServer

CREATE, UPDATE, DELETE, CONNECT = "CREATE", "UPDATE", "DELETE", "CONNECT"

_FIELD_VALIDATIONS = ("Ignore", "Strict", "Warn")
_UNKNOWN_MANAGER = "unknown"
_LONGEST_MANAGER = 128
_APPLY = "application/apply-patch"
_OPTIONS = {"POST": "CreateOptions", "PUT": "UpdateOptions", "PATCH": "PatchOptions", "DELETE": "DeleteOptions"}


@dataclass(slots=True)
class Operation:
    """`verb` is one of CREATE, UPDATE, DELETE, CONNECT; `warnings` reach the client as Warning headers.

    `applies` says that managedFields have been settled by server-side apply; `refused_claims` are those that the
    store has found to be another object's. `rounds` is there once others' hooks have had a say in it;
    `annotations` are for the audit log; at the `deadline`, by the monotonic clock, the client no longer waits.
    """

    server: ApiServer
    endpoint: Endpoint
    verb: str
    user: User
    namespace: str = ""
    name: str = ""
    subresource: str = ""
    dry_run: bool = False
    field_validation: str = "Warn"
    field_manager: str = ""
    force: bool = False
    applies: bool = False
    refused_claims: set[str] = field(default_factory=set)
    warnings: list[str] = field(default_factory=list)
    annotations: dict[str, str] = field(default_factory=dict)
    rounds: Rounds | None = None
    deadline: float | None = None

    @property
    def resource(self) -> Resource:
        """The address that the request used."""
        return self.endpoint.entry.resource

    @property
    def now(self) -> str:
        """The time as objects carry it."""
        return self.server.now()

    def key(self) -> Key:
        """Where the object is stored."""
        return self.endpoint.key(self.namespace, self.name)


def operation(server: ApiServer, endpoint: Endpoint, request: Request, verb: str) -> Operation:
    """The operation that a request asks for. Raises Invalid for options that do not exist."""
    info = request.info
    found = Operation(
        server,
        endpoint,
        verb,
        request.user,
        info.namespace,
        info.name,
        info.subresource,
        warnings=request.warnings,
        annotations=request.annotations,
    )
    # The query of a connection is meant for its other side.
    if request.environ.get("QUERY_STRING") and info.subresource not in LONG_RUNNING:
        _read_options(found, request)
    if not found.field_manager:
        agent = request.header("User-Agent").partition("/")[0]
        found.field_manager = agent[:_LONGEST_MANAGER] or _UNKNOWN_MANAGER
    return found


def _read_options(found: Operation, request: Request) -> None:
    query = request.query
    causes = dry_run_causes(request.query_lists.get("dryRun", []))
    found.dry_run = bool(request.query_lists.get("dryRun"))
    found.force = request.flag("force")
    if found.force and request.method == "PATCH" and not request.content_type.startswith(_APPLY):
        causes.append(Cause("FieldValueForbidden", "Forbidden: may not be specified for non-apply patch", "force"))
    validation = query.get("fieldValidation", "")
    if validation and validation not in _FIELD_VALIDATIONS:
        supported = ", ".join(f'"{value}"' for value in _FIELD_VALIDATIONS)
        message = f'Unsupported value: "{validation}": supported values: {supported}'
        causes.append(Cause("FieldValueNotSupported", message, "fieldValidation"))
    found.field_validation = validation or "Warn"
    nanoseconds = parse_duration(query["timeout"]) if query.get("timeout") else 0
    if nanoseconds > 0:
        found.deadline = found.server.runtime.monotonic() + nanoseconds / 1e9
    manager = query.get("fieldManager", "")
    if len(manager) > _LONGEST_MANAGER:
        causes.append(
            Cause("FieldValueTooLong", f"Too long: may not be more than {_LONGEST_MANAGER} bytes", "fieldManager")
        )
    elif not manager.isprintable():
        causes.append(fields.invalid("fieldManager", manager, "should only contain printable characters"))
    found.field_manager = manager
    if causes:
        kind = _OPTIONS.get(request.method, "Options")
        raise errors.invalid(kind, "meta.k8s.io", "", causes)


def dry_run_causes(values: list[str]) -> list[Cause]:
    """What is wrong with the values of dryRun; only `All` exists."""
    unknown = [value for value in values if value != "All"]
    if not unknown:
        return []
    listing = "[" + ",".join(f'"{value}"' for value in values) + "]"
    message = f'Unsupported value: {listing}: supported values: "All"'
    return [Cause("FieldValueNotSupported", message, "dryRun")]
