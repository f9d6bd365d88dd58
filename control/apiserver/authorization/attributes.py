"""What is asked for, as authorizers see it.

Invariant: equal attributes get equal answers while no rule changes, so answers may be cached by them.
Source: apiserver/pkg/authorization/authorizer.Attributes.
"""

from __future__ import annotations

from typing import NamedTuple

from api.selectors import FieldTerm, Requirement
from control.apiserver.authorization.selectors import field_terms, label_requirements
from control.apiserver.identity import User
from control.apiserver.request import Request


class Attributes(NamedTuple):
    """A user's verb on a resource, or on a `path` if `resource` is "".

    `fields` and `labels` are what objects of a list, watch or deletecollection must have; other verbs have none.
    """

    user: User
    verb: str
    group: str = ""
    version: str = ""
    namespace: str = ""
    resource: str = ""
    subresource: str = ""
    name: str = ""
    path: str = ""
    fields: tuple[FieldTerm, ...] = ()
    labels: tuple[Requirement, ...] = ()

    @property
    def unselected(self) -> tuple[User, tuple[str, ...]]:
        """The user, and what is asked for but for the selectors."""
        return self.user, self[1:9]

    def selects(self, field: str, value: str) -> bool:
        """Whether only objects are meant whose field has the value."""
        return FieldTerm(field, value) in self.fields

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
        fields=field_terms(request.selector("fieldSelector")),
        labels=label_requirements(request.selector("labelSelector")),
    )
