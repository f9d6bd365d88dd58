"""One exception class for each `Status` reason, so that a failure reads the same on both ends of the wire.

Invariant: every error that crosses the API is an `ApiError`; its `status()` is the exact body that the
server sends and `from_status` is its inverse.
Source: Kubernetes API conventions, "Response Status Kind"; apimachinery's metav1.StatusReason.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Cause:
    """One field that was wrong: machine-readable `reason`, sentence `message`, JSON path `field`."""

    reason: str
    message: str
    field: str = ""

    def to_json(self) -> dict[str, str]:
        """The `StatusCause` object."""
        body = {"reason": self.reason} if self.reason else {}
        body["message"] = self.message
        if self.field:
            body["field"] = self.field
        return body


class ApiError(Exception):
    """A request that the API server refused. Subclasses fix `reason` and their usual `code`.

    `kind` is what the original puts in `details.kind`: the plural for most reasons, the kind for Invalid.
    `continuation` is a token with which a list that expired may go on, at the price of consistency.
    """

    code: int = 500
    reason: str = "InternalError"

    def __init__(
        self,
        message: str,
        *,
        name: str = "",
        group: str = "",
        kind: str = "",
        uid: str = "",
        causes: Iterable[Cause] = (),
        retry_after_seconds: int = 0,
        continuation: str = "",
    ) -> None:
        super().__init__(message)
        self.message = message
        self.name = name
        self.group = group
        self.kind = kind
        self.uid = uid
        self.causes = tuple(causes)
        self.retry_after_seconds = retry_after_seconds
        self.continuation = continuation

    def status(self) -> dict[str, Any]:
        """The `Status` object, fields in the order of the original's JSON."""
        body: dict[str, Any] = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {"continue": self.continuation} if self.continuation else {},
            "status": "Failure",
            "message": self.message,
        }
        if self.reason:
            body["reason"] = self.reason
        details: dict[str, Any] = {}
        for field, value in (
            ("name", self.name),
            ("group", self.group),
            ("kind", self.kind),
            ("uid", self.uid),
        ):
            if value:
                details[field] = value
        if self.causes:
            details["causes"] = [cause.to_json() for cause in self.causes]
        if self.retry_after_seconds:
            details["retryAfterSeconds"] = self.retry_after_seconds
        if details:
            body["details"] = details
        body["code"] = self.code
        return body


class BadRequest(ApiError):
    """The request is malformed, whatever the state of the cluster."""

    code, reason = 400, "BadRequest"


class Unauthorized(ApiError):
    """The server does not know who asks."""

    code, reason = 401, "Unauthorized"


class Forbidden(ApiError):
    """The server knows who asks and refuses: authorization or admission."""

    code, reason = 403, "Forbidden"


class NotFound(ApiError):
    """No such object or resource."""

    code, reason = 404, "NotFound"


class MethodNotAllowed(ApiError):
    """The resource does not have that verb."""

    code, reason = 405, "MethodNotAllowed"


class NotAcceptable(ApiError):
    """None of the media types in Accept can be produced."""

    code, reason = 406, "NotAcceptable"


class AlreadyExists(ApiError):
    """A create met an object of that name."""

    code, reason = 409, "AlreadyExists"


class Conflict(ApiError):
    """The object changed since the caller read it, or a precondition or a field manager stands against it."""

    code, reason = 409, "Conflict"


class Gone(ApiError):
    """The object was there once and is no more."""

    code, reason = 410, "Gone"


class Expired(ApiError):
    """The resource version or continue token is older than the history kept."""

    code, reason = 410, "Expired"


class RequestEntityTooLarge(ApiError):
    """The body exceeds the limit."""

    code, reason = 413, "RequestEntityTooLarge"


class UnsupportedMediaType(ApiError):
    """The body's Content-Type is not understood."""

    code, reason = 415, "UnsupportedMediaType"


class Invalid(ApiError):
    """The object's content breaks a rule; `causes` name each field."""

    code, reason = 422, "Invalid"


class TooManyRequests(ApiError):
    """Try again after `retry_after_seconds`; also an eviction that a disruption budget forbids."""

    code, reason = 429, "TooManyRequests"


class InternalError(ApiError):
    """The server's own failure."""

    code, reason = 500, "InternalError"


class ServiceUnavailable(ApiError):
    """The server, or something behind it, is not there now."""

    code, reason = 503, "ServiceUnavailable"


class Timeout(ApiError):
    """The server gave up waiting; the outcome is not known."""

    code, reason = 504, "Timeout"


_BY_REASON: dict[str, type[ApiError]] = {
    cls.reason: cls
    for cls in (
        BadRequest, Unauthorized, Forbidden, NotFound, MethodNotAllowed, NotAcceptable, AlreadyExists,
        Conflict, Gone, Expired, RequestEntityTooLarge, UnsupportedMediaType, Invalid, TooManyRequests,
        InternalError, ServiceUnavailable, Timeout,
    )
}  # fmt: skip
_BY_CODE: dict[int, type[ApiError]] = {cls.code: cls for cls in _BY_REASON.values() if cls not in (AlreadyExists, Gone)}


class Unclassified(ApiError):
    """A failure that the original gives no reason of its own."""

    code = 500
    reason = ""


def from_status(code: int, body: Mapping[str, Any]) -> ApiError:
    """The exception for a `Status` body; an unknown reason falls back to the HTTP code, then InternalError.

    The exception keeps the code that came with the body, also where its reason has another one.
    """
    cls = _BY_REASON.get(str(body.get("reason", ""))) or _BY_CODE.get(code, InternalError)
    details = body.get("details") or {}
    found = cls(
        str(body.get("message") or f"the server answered {code}"),
        name=details.get("name", ""),
        group=details.get("group", ""),
        kind=details.get("kind", ""),
        uid=details.get("uid", ""),
        causes=[
            Cause(cause.get("reason", ""), cause.get("message", ""), cause.get("field", ""))
            for cause in details.get("causes") or []
        ],
        retry_after_seconds=int(details.get("retryAfterSeconds") or 0),
        continuation=str((body.get("metadata") or {}).get("continue") or ""),
    )
    found.code = code
    return found


def qualified(plural: str, group: str) -> str:
    """`deployments.apps`, or `pods` for the core group: how messages name a resource."""
    return f"{plural}.{group}" if group else plural


def not_found(plural: str, group: str, name: str) -> NotFound:
    """The original's words for a missing object."""
    return NotFound(f'{qualified(plural, group)} "{name}" not found', name=name, group=group, kind=plural)


def already_exists(plural: str, group: str, name: str) -> AlreadyExists:
    """The original's words for a create that met an object of that name."""
    message = f'{qualified(plural, group)} "{name}" already exists'
    return AlreadyExists(message, name=name, group=group, kind=plural)


def conflict(plural: str, group: str, name: str, why: str) -> Conflict:
    """The original's words for an update that lost a race; `why` is the sentence after the colon."""
    message = f'Operation cannot be fulfilled on {qualified(plural, group)} "{name}": {why}'
    return Conflict(message, name=name, group=group, kind=plural)


def internal(why: str) -> InternalError:
    """The original's words for a failure of something that the server relies on."""
    return InternalError(f"Internal error occurred: {why}", causes=[Cause("", why)])


def invalid(kind: str, group: str, name: str, causes: Iterable[Cause]) -> Invalid:
    """The original's words for a validation failure: one cause inline, several in brackets."""
    found = tuple(causes)
    parts = [f"{cause.field}: {cause.message}" if cause.field else cause.message for cause in found]
    listing = parts[0] if len(parts) == 1 else "[" + ", ".join(parts) + "]"
    qualified_kind = f"{kind}.{group}" if group else kind
    message = f'{qualified_kind} "{name}" is invalid: {listing}'
    return Invalid(message, name=name, group=group, kind=kind, causes=found)
