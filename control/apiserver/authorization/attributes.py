"""What is asked for, as authorizers see it.

Invariant: equal attributes get equal answers while no rule changes, so answers may be cached by them.
Source: apiserver/pkg/authorization/authorizer.Attributes.
"""

from __future__ import annotations

from typing import NamedTuple

from control.apiserver.identity import User
from control.apiserver.request import Request


class Attributes(NamedTuple):
    """A user's verb on a resource, or on a `path` if `resource` is ""."""

    user: User
    verb: str
    group: str = ""
    version: str = ""
    namespace: str = ""
    resource: str = ""
    subresource: str = ""
    name: str = ""
    path: str = ""

    @property
    def full_resource(self) -> str:
        """`pods/log` or `pods`, as rules name it."""
        return f"{self.resource}/{self.subresource}" if self.subresource else self.resource


def attributes(request: Request) -> Attributes:
    """What a request asks for."""
    info = request.info
    if not info.is_resource:
        return Attributes(request.user, info.verb, path=request.path)
    return Attributes(
        request.user,
        info.verb,
        info.group,
        info.version,
        info.namespace,
        info.resource,
        info.subresource,
        info.name,
    )
