"""Impersonate-* headers: acting as somebody else, if one may.

Invariant: every name, group, uid and extra value that is taken on has been authorized by the verb `impersonate`.
Source: "User impersonation" in the Kubernetes documentation; apiserver/pkg/endpoints/filters/impersonation.go.
"""

from __future__ import annotations

from urllib.parse import unquote

from api import errors
from control.apiserver.authorization.attributes import Attributes
from control.apiserver.authorization.chain import Authorizer
from control.apiserver.identity import ANONYMOUS, AUTHENTICATED_GROUP, User, service_account_user
from control.apiserver.request import Request

_EXTRA = "HTTP_IMPERSONATE_EXTRA_"


def impersonated(request: Request, authorizer: Authorizer) -> User:
    """The user to act as: the request's own without the headers. Raises Forbidden, InternalError."""
    name = request.header("Impersonate-User")
    groups = [group for group in request.header("Impersonate-Group").split(",") if group]
    uid = request.header("Impersonate-Uid")
    extra = {
        unquote(key.removeprefix(_EXTRA).lower().replace("_", "-")): tuple(str(value).split(","))
        for key, value in request.environ.items()
        if key.startswith(_EXTRA)
    }
    if not name:
        if groups or uid or extra:
            raise errors.InternalError(f"requested {_listed(groups, uid, extra)} without impersonating a user")
        return request.user
    for asked in _attributes(request.user, name, groups, uid, extra):
        authorizer.check(asked)
    return _user(name, groups, uid, extra)


def _attributes(
    user: User, name: str, groups: list[str], uid: str, extra: dict[str, tuple[str, ...]]
) -> list[Attributes]:
    asked = []
    account = _account(name)
    if account:
        asked.append(Attributes(user, "impersonate", "", "v1", account[0], "serviceaccounts", "", account[1]))
    else:
        asked.append(Attributes(user, "impersonate", "", "v1", "", "users", "", name))
    asked += [Attributes(user, "impersonate", "", "v1", "", "groups", "", group) for group in groups]
    group = "authentication.k8s.io"
    if uid:
        asked.append(Attributes(user, "impersonate", group, "v1", "", "uids", "", uid))
    for key, values in extra.items():
        asked += [Attributes(user, "impersonate", group, "v1", "", "userextras", key, value) for value in values]
    return asked


def _account(name: str) -> tuple[str, str] | None:
    parts = name.split(":")
    return (parts[2], parts[3]) if parts[:2] == ["system", "serviceaccount"] and len(parts) == 4 else None


def _listed(groups: list[str], uid: str, extra: dict[str, tuple[str, ...]]) -> str:
    """What was asked for, as Go shows references to objects."""
    group = "authentication.k8s.io/v1"
    found = [f"{{Group  {name}    }}" for name in groups]
    found += [f"{{UserExtra  {value}  {group}  {key}}}" for key, values in extra.items() for value in values]
    found += [f"{{UID  {uid}  {group}  }}"] if uid else []
    return f"[{' '.join(found)}]"


def _user(name: str, groups: list[str], uid: str, extra: dict[str, tuple[str, ...]]) -> User:
    """The user to act as, in the group of those who are known, or in that of those who are not."""
    account = _account(name)
    if account and not groups:
        return service_account_user(*account, uid, extra)
    (unknown,) = ANONYMOUS.groups
    if unknown in groups:
        return User(name, tuple(groups), uid, extra)
    added = unknown if name == ANONYMOUS.name else AUTHENTICATED_GROUP
    return User(name, tuple(groups) if added in groups else (*groups, added), uid, extra)
