"""Authenticators in order: the first that recognizes a credential decides.

Invariant: a credential that is presented and refused is never ignored in favour of anonymity; one of a kind that is not
known here (a name and a password) is none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from api import errors
from control.apiserver.authentication.bearer import bearer_token, drop_token
from control.apiserver.identity import ANONYMOUS, AUTHENTICATED_GROUP, User
from control.apiserver.request import Request


class Method(Protocol):
    """One way to prove who one is."""

    def authenticate(self, request: Request) -> User | None:
        """The user, or None if the request carries no credential of this kind. Raises Unauthorized."""


class Authenticator:
    """All methods; with none of them a request is anonymous."""

    def __init__(self, methods: Sequence[Method]) -> None:
        self._methods = tuple(methods)

    def authenticate(self, request: Request) -> User:
        """Who asks. Raises Unauthorized."""
        for method in self._methods:
            user = method.authenticate(request)
            if user is not None:
                drop_token(request)
                return user
        if bearer_token(request):
            raise errors.Unauthorized("Unauthorized")
        return ANONYMOUS


def authenticated(
    name: str, groups: Sequence[str], uid: str = "", extra: Mapping[str, tuple[str, ...]] | None = None
) -> User:
    """A proven user, with the group that all of them are in."""
    found = tuple(groups)
    return User(name, found if AUTHENTICATED_GROUP in found else (*found, AUTHENTICATED_GROUP), uid, extra or {})
