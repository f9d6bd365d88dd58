"""Who asks.

Invariant: a `User` that an authenticator returned is proven; everything that is not proven is ANONYMOUS.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

AUTHENTICATED_GROUP = "system:authenticated"
MASTERS_GROUP = "system:masters"
NODES_GROUP = "system:nodes"
NODE_PREFIX = "system:node:"
CREDENTIAL_ID = "authentication.kubernetes.io/credential-id"


@dataclass(frozen=True)
class User:
    """A name, its groups, and what else the authenticator knows (`extra`)."""

    name: str
    groups: tuple[str, ...] = ()
    uid: str = ""
    extra: Mapping[str, tuple[str, ...]] = field(default_factory=dict, hash=False)

    @property
    def is_node(self) -> bool:
        """Whether this user is a node, if perhaps one that has no name."""
        return NODES_GROUP in self.groups and self.name.startswith(NODE_PREFIX)

    @property
    def node_name(self) -> str:
        """The node that this user is, or ""."""
        return self.name.removeprefix(NODE_PREFIX) if self.is_node else ""


SERVER = User("system:apiserver", (MASTERS_GROUP,))
"""The server itself, when it writes."""

ANONYMOUS = User("system:anonymous", ("system:unauthenticated",))


def service_account_user(namespace: str, name: str, uid: str, extra: Mapping[str, tuple[str, ...]]) -> User:
    """The user that a service account is."""
    groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", AUTHENTICATED_GROUP)
    return User(f"system:serviceaccount:{namespace}:{name}", groups, uid, extra)
