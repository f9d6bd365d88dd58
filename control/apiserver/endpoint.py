"""One served resource: what the registry says of it, its strategy, and where its objects are.

Several addresses may share one stored form (`autoscaling/v1` and `v2`); a `Conversion` translates at the edge.

Strategies of built-in resources work on the storage version, those of custom resources on the version asked for,
since each version has a schema of its own: `opened` and `closed` translate there, `shown` and `incoming` here.

Invariant: what is written to the store is always in the storage version.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from api.objects import Object
from api.registry import Entry
from api.resources import Resource
from api.selectors import FieldSelector
from control.apiserver.cache import Collection
from control.apiserver.cached import Fields, field_values
from control.apiserver.storage import Key
from control.apiserver.strategies.base import Strategy

if TYPE_CHECKING:
    from control.apiserver.custom.served import CustomVersion


@dataclass(frozen=True, slots=True)
class Conversion:
    """Translates between the address's version and the storage version; each makes a new object.

    `waits` says that it asks somebody else, so it may not run where others wait for the caller. `labels` are the field
    labels of the address and what the storage version calls them, None if they are the same.
    """

    to_storage: Callable[[Object], Object]
    from_storage: Callable[[Object], Object]
    many_from_storage: Callable[[Sequence[Object]], list[Object]] | None = None
    text_from_storage: Callable[[bytes], bytes] | None = None
    waits: bool = False
    labels: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Endpoint:
    """`stored_entry` is the resource in its storage version; `custom` is what a definition made of it."""

    entry: Entry
    stored_entry: Entry
    strategy: Strategy
    collection: Collection
    conversion: Conversion | None = None
    custom: CustomVersion | None = None

    @property
    def storage(self) -> Resource:
        """The address under which the objects are kept."""
        return self.stored_entry.resource

    @property
    def definition(self) -> str | Mapping[str, Any]:
        """The schema by which objects are merged: a built-in definition's name, or a custom resource's schema."""
        return self.custom.shape if self.custom else self.stored_entry.definition

    @property
    def fields(self) -> Fields:
        """What field selectors may name."""
        return self.custom.fields if self.custom else self.collection.fields

    @property
    def labels(self) -> Mapping[str, str] | None:
        """Which of `fields` the field labels of this address mean; None: they are the same."""
        return self.conversion.labels if self.conversion else None

    def key(self, namespace: str, name: str) -> Key:
        """Where an object is stored."""
        return Key(self.storage, namespace if self.storage.namespaced else "", name)

    def incoming(self, obj: Object) -> Object:
        """An object of this address as the strategy sees it."""
        return self.conversion.to_storage(obj) if self.conversion and self.custom is None else obj

    def shown(self, obj: Object) -> Object:
        """An object that the strategy sees as this address shows it."""
        return self.conversion.from_storage(obj) if self.conversion and self.custom is None else obj

    def opened(self, obj: Object) -> Object:
        """A stored object as the strategy sees it."""
        return self.conversion.from_storage(obj) if self.conversion and self.custom is not None else obj

    def closed(self, obj: Object) -> Object:
        """An object that the strategy sees as it is stored."""
        return self.conversion.to_storage(obj) if self.conversion and self.custom is not None else obj

    def outgoing(self, text: bytes) -> bytes:
        """A stored object's text as this address shows it."""
        if self.conversion is None:
            return text
        if self.conversion.text_from_storage:
            return self.conversion.text_from_storage(text)
        return orjson.dumps(self.conversion.from_storage(orjson.loads(text)))

    @property
    def converts_late(self) -> bool:
        """Whether somebody else has to be asked for what this address shows."""
        return self.conversion is not None and self.conversion.waits

    def selects(self, fields: FieldSelector, text: bytes) -> bool:
        """Whether a selector means an object as this address shows it."""
        return fields.empty or fields.matches(field_values(orjson.loads(text), self.fields).__getitem__)

    def all_outgoing(self, texts: Sequence[bytes]) -> Sequence[bytes]:
        """Many stored texts as this address shows them; a webhook is asked once for all of them."""
        if self.conversion is None:
            return texts
        if self.conversion.many_from_storage and self.conversion.waits:
            return [
                orjson.dumps(obj) for obj in self.conversion.many_from_storage([orjson.loads(one) for one in texts])
            ]
        return [self.outgoing(text) for text in texts]
