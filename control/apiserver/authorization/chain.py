"""Authorizers in order: the first that allows decides; if none does, the request is refused.

Invariant: the answer to a request that no authorizer allows is 403 with the original's sentence and what the
authorizers have to say of it.
Source: apiserver/pkg/endpoints/handlers/responsewriters.Forbidden.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from api import errors
from control.apiserver.authorization.attributes import Attributes
from control.apiserver.authorization.rules import Rule
from control.apiserver.identity import MASTERS_GROUP, User

_ANY = frozenset({"*"})
_ALL_RULES = (Rule(_ANY, _ANY, _ANY), Rule(_ANY, paths=_ANY))


class Method(Protocol):
    """One source of permission."""

    def decide(self, asked: Attributes) -> tuple[bool, str]:
        """(whether it is allowed rather than left to others, why)."""

    def rules_of(self, user: User, namespace: str) -> list[Rule]:
        """The rules by which it would allow things."""


class Authorizer:
    """All methods; members of system:masters may do everything."""

    def __init__(self, methods: Sequence[Method]) -> None:
        self._methods = tuple(methods)

    def decide(self, asked: Attributes) -> tuple[bool, str]:
        """(whether it is allowed, why)."""
        if MASTERS_GROUP in asked.user.groups:
            return True, ""
        said = []
        for method in self._methods:
            allowed, reason = method.decide(asked)
            if allowed:
                return True, reason
            said += [reason] * bool(reason)
        return False, "\n".join(said)

    def rules_of(self, user: User, namespace: str) -> list[Rule]:
        """Everything that a user may do in a namespace, as far as rules tell."""
        rules = [rule for method in self._methods for rule in method.rules_of(user, namespace)]
        return [*_ALL_RULES, *rules] if MASTERS_GROUP in user.groups else rules

    def check(self, asked: Attributes) -> str:
        """Why it is allowed. Raises Forbidden."""
        allowed, reason = self.decide(asked)
        if not allowed:
            raise forbidden(asked, reason)
        return reason


def forbidden(asked: Attributes, reason: str = "") -> errors.Forbidden:
    """The refusal, worded as by the original."""
    user = asked.user.name
    why = f": {reason}" if reason else ""
    if not asked.resource:
        return errors.Forbidden(f'forbidden: User "{user}" cannot {asked.verb} path "{asked.path}"{why}')
    full = asked.full_resource
    where = f' in the namespace "{asked.namespace}"' if asked.namespace else " at the cluster scope"
    sentence = f'User "{user}" cannot {asked.verb} resource "{full}" in API group "{asked.group}"{where}{why}'
    qualified = errors.qualified(asked.resource, asked.group)
    subject = f'{qualified} "{asked.name}"' if asked.name else qualified
    return errors.Forbidden(
        f"{subject} is forbidden: {sentence}", name=asked.name, group=asked.group, kind=asked.resource
    )
