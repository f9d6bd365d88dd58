"""One served resource: what the registry says of it, its strategy, and where its objects are.

Several addresses may share one stored form (`autoscaling/v1` and `v2`); a `Conversion` translates at the edge.

Invariant: what the store and the cache hold is always in the storage version.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import orjson

from api.objects import Object
from api.registry import Entry
from api.resources import Resource
from control.apiserver.cache import Collection
from control.apiserver.storage import Key
from control.apiserver.strategies.base import Strategy


@dataclass(frozen=True, slots=True)
class Conversion:
    """Translates between the address's version and the storage version; each makes a new object."""

    to_storage: Callable[[Object], Object]
    from_storage: Callable[[Object], Object]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """`stored_entry` is the resource in its storage version; `typed` resources have no kind in list items."""

    entry: Entry
    stored_entry: Entry
    strategy: Strategy
    collection: Collection
    conversion: Conversion | None = None
    typed: bool = True

    @property
    def storage(self) -> Resource:
        """The address under which the objects are kept."""
        return self.stored_entry.resource

    def key(self, namespace: str, name: str) -> Key:
        """Where an object is stored."""
        return Key(self.storage, namespace if self.storage.namespaced else "", name)

    def incoming(self, obj: Object) -> Object:
        """An object of this address as it is stored."""
        return self.conversion.to_storage(obj) if self.conversion else obj

    def outgoing(self, text: bytes) -> bytes:
        """A stored object's text as this address shows it."""
        return text if self.conversion is None else orjson.dumps(self.conversion.from_storage(orjson.loads(text)))

    def outgoing_object(self, obj: Object) -> Object:
        """A stored object as this address shows it."""
        return obj if self.conversion is None else self.conversion.from_storage(obj)
