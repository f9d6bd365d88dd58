"""Objects over the ordered key-value store: optimistic concurrency, and nothing that knows about HTTP.

A write reads the cached object, asks the caller what it should become, and commits only if the key is still at
the revision that was read; otherwise it reads the store and asks again. A refusal that was based on the cached
object is checked against the store before it is believed.

Invariant: what `update` and `delete` return is what the store acknowledged; no write is based on an object
other than the one it replaced.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple, Protocol

from api import errors, protobuf
from api.objects import Object
from api.resources import Resource
from api.runtime import Runtime
from control.apiserver import codec
from control.kvstore.store import (
    Compacted,
    Compare,
    Delete,
    FutureRevision,
    KeyValue,
    LeaseNotFound,
    Operation,
    Put,
    Range,
    RangeResult,
    Store,
    Target,
    prefix_end,
)

ROOT = "/registry/"
CLAIMS = "/claims/"

MODIFIED = "the object has been modified; please apply your changes to the latest version and try again"

LARGEST_OBJECT = 1536 * 1024
"""As many bytes as etcd takes at once."""

_ATTEMPTS = 100
_LEASE_REUSE_SECONDS = 60


class Key(NamedTuple):
    """Where one object is stored. `resource` is the storage version's address."""

    resource: Resource
    namespace: str
    name: str

    def encoded(self) -> bytes:
        """The store's key."""
        return (prefix(self.resource, self.namespace) + self.name).encode()


def prefix(resource: Resource, namespace: str = "") -> str:
    """The beginning of the keys of a resource, or of its objects in one namespace."""
    base = f"{ROOT}{resource.group or 'core'}/{resource.plural}/"
    return f"{base}{namespace}/" if namespace else base


class Stored(NamedTuple):
    """An object at a revision; `text` is its JSON with that resource version."""

    revision: int
    text: bytes

    def object(self) -> Object:
        """A fresh dictionary."""
        return codec.decode(self.text)


Change = Callable[[Stored], Object | None]
"""Says what a stored object becomes: a new object, or None to remove it. May raise ApiError."""


Claims = Callable[[Object], frozenset[str]]
"""What an object claims for itself alone (an address, a port); no two stored objects have the same claim."""


class ClaimTaken(Exception):
    """Another object has the claim."""

    def __init__(self, claim: str) -> None:
        super().__init__(claim)
        self.claim = claim


def _no_claims(obj: Object) -> frozenset[str]:
    return frozenset()


class Reader(Protocol):
    """A view that may lag behind the store."""

    def peek(self, key: Key) -> Stored | None: ...


class Storage:
    """Reads and writes single objects, and reads ranges of the past."""

    def __init__(self, store: Store, reader: Reader, runtime: Runtime) -> None:
        self.store = store
        self._reader = reader
        self._runtime = runtime
        self._leases: dict[int, tuple[int, float]] = {}

    def create(self, key: Key, obj: Object, *, lease_seconds: int = 0, claims: Iterable[str] = ()) -> Stored:
        """Store a new object and its claims. Raises AlreadyExists, ClaimTaken."""
        resource = key.resource
        value = _encoded(obj, resource)
        encoded = key.encoded()
        wanted = [_claim_key(claim) for claim in claims]
        absent = [Compare(one, Target.MOD, 0) for one in (encoded, *wanted)]
        holders: list[Operation] = [Put(one, encoded) for one in wanted]
        look: list[Operation] = [Range(one) for one in wanted]
        result = None
        while result is None:
            lease = self._lease(lease_seconds) if lease_seconds else 0
            try:
                result = self.store.txn(absent, [Put(encoded, value, lease), *holders], [Range(encoded), *look])
            except LeaseNotFound:
                self._leases.pop(lease_seconds, None)
        if not result.succeeded:
            first, *others = (found for found in result.results if isinstance(found, RangeResult))
            if not first.items:
                _raise_taken(others)
            raise errors.already_exists(resource.plural, resource.group, key.name)
        return Stored(result.revision, codec.attach(value, result.revision))

    def get(self, key: Key) -> Stored:
        """The object as the store has it now. Raises NotFound."""
        found = self._read(key)
        if found is None:
            raise _not_found(key)
        return found

    def update(self, key: Key, change: Change, *, lease_seconds: int = 0, claims: Claims = _no_claims) -> Stored:
        """Change an object; its new state. Raises NotFound, Conflict, ClaimTaken, and what `change` raises.

        If `change` returns None the object is removed, with its claims, and its last state returned.
        """
        current = self._reader.peek(key)
        fresh = False
        for _ in range(_ATTEMPTS):
            if current is None and not fresh:
                current, fresh = self._read(key), True
            if current is None:
                raise _not_found(key)
            try:
                wanted = change(current)
            except errors.ApiError:
                if fresh:
                    raise
                latest = self._read(key)
                fresh = True
                if latest is not None and latest.revision == current.revision:
                    raise
                current = latest
                continue
            seen = current
            done, current = self._commit(key, seen, wanted, lease_seconds, claims)
            if done is seen and not fresh and wanted is not None:
                # Nothing to change in what the cache shows, which may be older than the client's last answer.
                latest = self._read(key)
                if latest is None or latest.revision != seen.revision:
                    done, current = None, latest
            if done is not None:
                return done
            fresh = True
        raise errors.conflict(key.resource.plural, key.resource.group, key.name, MODIFIED)

    def _commit(
        self, key: Key, current: Stored, wanted: Object | None, lease_seconds: int, claims: Claims
    ) -> tuple[Stored | None, Stored | None]:
        """(what was acknowledged, None), or (None, the state that stood in the way)."""
        encoded = key.encoded()
        value = b""
        operations: list[Operation] = [Delete(encoded)]
        if wanted is not None:
            value = _encoded(wanted, key.resource)
            text = codec.attach(value, current.revision)
            # Equal objects have texts of equal length, whatever the order of their fields.
            if len(text) == len(current.text) and codec.decode(text) == codec.decode(current.text):
                return current, None
            operations = [Put(encoded, value, self._lease(lease_seconds) if lease_seconds else 0)]
        compares = [Compare(encoded, Target.MOD, current.revision)]
        look: list[Operation] = [Range(encoded)]
        if claims is not _no_claims:
            before, after = claims(current.object()), claims(wanted) if wanted is not None else frozenset[str]()
            gained = [_claim_key(claim) for claim in after - before]
            compares += [Compare(one, Target.MOD, 0) for one in gained]
            operations += [Put(one, encoded) for one in gained]
            operations += [Delete(_claim_key(claim)) for claim in before - after]
            look += [Range(one) for one in gained]
        result = self.store.txn(compares, operations, look)
        if result.succeeded:
            done = current if wanted is None else Stored(result.revision, codec.attach(value, result.revision))
            return done, None
        first, *others = (found for found in result.results if isinstance(found, RangeResult))
        if first.items and first.items[0].mod_revision == current.revision:
            _raise_taken(others)
        return None, stored(first.items[0]) if first.items else None

    def revision(self) -> int:
        """The store's current revision."""
        return self.store.range(ROOT.encode(), prefix_end(ROOT.encode()), count_only=True).revision

    def page(self, start: bytes, end: bytes, revision: int, limit: int) -> RangeResult:
        """A range of the past. Raises Expired if that revision is compacted, Timeout if it is still to come."""
        try:
            return self.store.range(start, end, revision=revision, limit=limit)
        except Compacted as error:
            raise errors.Expired(
                f"The resourceVersion for the provided list is too old: {revision} ({error.compact_revision})"
            ) from error
        except FutureRevision as error:
            raise too_large(revision, self.revision()) from error

    def _read(self, key: Key) -> Stored | None:
        items = self.store.range(key.encoded()).items
        return stored(items[0]) if items else None

    def _lease(self, seconds: int) -> int:
        """A lease of at least `seconds`, shared by the objects of a minute: one lease an object would cost a
        transaction each."""
        now = self._runtime.monotonic()
        lease, until = self._leases.get(seconds, (0, 0.0))
        if now >= until:
            lease = self.store.lease_grant(seconds + _LEASE_REUSE_SECONDS)
            self._leases[seconds] = lease, now + _LEASE_REUSE_SECONDS
        return lease


def _encoded(obj: Object, resource: Resource) -> bytes:
    """What the store holds of an object. Raises Unclassified for one that the original's store would not take.

    That store holds built-in objects as protobuf, so what matters is how large they are as such.
    """
    value = codec.encode(obj, resource.api_version, resource.kind)
    if len(value) > LARGEST_OBJECT:
        as_kept = value
        if protobuf.supports(resource.api_version, resource.kind):
            as_kept = protobuf.encode(codec.decode(value))
        if len(as_kept) > LARGEST_OBJECT:
            raise errors.Unclassified("etcdserver: request is too large")
    return value


def _claim_key(claim: str) -> bytes:
    return f"{CLAIMS}{claim}".encode()


def _raise_taken(others: Iterable[RangeResult]) -> None:
    for found in others:
        if found.items:
            raise ClaimTaken(found.items[0].key.decode().removeprefix(CLAIMS))


def stored(found: KeyValue) -> Stored:
    """A key's value as an object."""
    return Stored(found.mod_revision, codec.attach(found.value, found.mod_revision))


def texts(items: Iterable[KeyValue]) -> list[bytes]:
    """The clients' texts of a range."""
    return [codec.attach(item.value, item.mod_revision) for item in items]


def too_large(asked: int, current: int) -> errors.Timeout:
    """The original's answer to a resource version that the server has not reached."""
    return errors.Timeout(
        f"Too large resource version: {asked}, current: {current}",
        causes=[errors.Cause("ResourceVersionTooLarge", "Too large resource version")],
        retry_after_seconds=1,
    )


def _not_found(key: Key) -> errors.NotFound:
    return errors.not_found(key.resource.plural, key.resource.group, key.name)


def prefix_range(resource: Resource, namespace: str = "") -> tuple[bytes, bytes]:
    """The store's range of a resource's keys, or of those in one namespace."""
    start = prefix(resource, namespace).encode()
    return start, prefix_end(start)
