"""Who may ask the kubelet's server for what.

Members of system:masters may do all; for anybody else the API server is asked, and its answer kept for a while.

Invariant: no answer from the API server means no.
Source: kubelet authentication/authorization: resources nodes/proxy, nodes/log, nodes/stats, nodes/metrics;
fine-grained nodes/pods, nodes/healthz, nodes/configz.
"""

from __future__ import annotations

from dataclasses import dataclass

from api import pki
from api.client import Client
from api.errors import ApiError
from api.objects import Object
from api.runtime import Runtime
from api.transport import TransportError

MASTERS = "system:masters"
_ALLOWED_SECONDS = 300.0
_DENIED_SECONDS = 30.0
_REMEMBERED = 1024
_VERBS = {"GET": "get", "HEAD": "get", "POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
_COARSE = (
    ("/stats", "stats"),
    ("/metrics", "metrics"),
    ("/logs", "log"),
    ("/checkpoint", "checkpoint"),
    ("/statusz", "statusz"),
    ("/flagz", "configz"),
)
# Whoever has no right to these may still have one to all of the kubelet.
_FINE = (("/pods", "pods"), ("/runningpods", "pods"), ("/healthz", "healthz"), ("/configz", "configz"))


class NotAllowed(Exception):
    """The answer is no; `status` is the HTTP status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class User:
    """Who asks."""

    name: str
    groups: tuple[str, ...] = ()


def subresources(path: str) -> tuple[str, ...]:
    """The subresources of nodes of which one must be allowed for a path."""
    for prefix, name in _COARSE:
        if _is_below(path, prefix):
            return (name,)
    return *(name for prefix, name in _FINE if _is_below(path, prefix)), "proxy"


def _is_below(path: str, prefix: str) -> bool:
    return path == prefix or path.startswith(f"{prefix}/")


class Authorizer:
    """Decides for one node."""

    def __init__(self, client: Client, clock: Runtime, node: str) -> None:
        self._client = client
        self._clock = clock
        self._node = node
        self._answers: dict[tuple[object, ...], tuple[float, bool]] = {}
        self._users: dict[str, tuple[float, User]] = {}

    def check(self, certificate: bytes | None, bearer: str, method: str, path: str) -> None:
        """Raise NotAllowed unless the request may be served."""
        user = self._user(certificate, bearer)
        if MASTERS in user.groups:
            return
        verb = _VERBS.get(method, "get")
        names = subresources(path)
        if not any(self._allowed(user, verb, name) for name in names):
            message = f"Forbidden (user={user.name}, verb={verb}, resource=nodes, subresource(s)=[{' '.join(names)}])"
            raise NotAllowed(403, message)

    def _user(self, certificate: bytes | None, bearer: str) -> User:
        if certificate is not None:
            subject = pki.certificate_subject(certificate)
            return User(subject.name, (*subject.groups, "system:authenticated"))
        if not bearer:
            raise NotAllowed(401, "Unauthorized")
        known = self._users.get(bearer)
        if known is not None and known[0] > self._clock.monotonic():
            return known[1]
        user = self._review_token(bearer)
        self._users = dict(list(self._users.items())[-_REMEMBERED:])
        self._users[bearer] = (self._clock.monotonic() + _DENIED_SECONDS, user)
        return user

    def _review_token(self, bearer: str) -> User:
        review = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenReview",
            "metadata": {},
            "spec": {"token": bearer},
        }
        status = self._ask("tokenreviews.authentication.k8s.io", review)
        if not status.get("authenticated"):
            raise NotAllowed(401, "Unauthorized")
        found = status.get("user") or {}
        return User(found.get("username", ""), tuple(found.get("groups") or ()))

    def _allowed(self, user: User, verb: str, subresource: str) -> bool:
        key = (user, verb, subresource)
        known = self._answers.get(key)
        now = self._clock.monotonic()
        if known is not None and known[0] > now:
            return known[1]
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "metadata": {},
            "spec": {
                "user": user.name,
                "groups": list(user.groups),
                "resourceAttributes": {
                    "verb": verb,
                    "version": "v1",
                    "resource": "nodes",
                    "subresource": subresource,
                    "name": self._node,
                },
            },
        }
        allowed = bool(self._ask("subjectaccessreviews.authorization.k8s.io", review).get("allowed"))
        self._answers = dict(list(self._answers.items())[-_REMEMBERED:])
        self._answers[key] = (now + (_ALLOWED_SECONDS if allowed else _DENIED_SECONDS), allowed)
        return allowed

    def _ask(self, resource: str, review: Object) -> Object:
        try:
            answer = self._client.create(resource, review)
        except (ApiError, TransportError) as error:
            raise NotAllowed(403, f"the API server could not be asked: {error}") from error
        return answer.get("status") or {}
