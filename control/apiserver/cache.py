"""The watch cache: every object as clients see it, kept true by one watch of the store.

Reads and watches are answered from here, so a thousand watchers cost the store nothing. Each collection keeps
its objects in key order and a bounded window of recent changes from which a watch may resume. An event's line
is encoded once for all watchers, and a watcher that selects by one exact field is woken only for that value.

Invariant: a collection at revision N shows every change up to N and none after it; a watcher sees the changes
after its start once and in order, or is ended (`Expired` at the start, dropped when too slow).
"""

from __future__ import annotations

import logging
from bisect import bisect_left, insort
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

from api import errors
from api.runtime import Event as Flag
from api.runtime import Runtime
from control.apiserver import codec
from control.apiserver.cached import CachedObject, Change, Fields, selectable
from control.apiserver.storage import ROOT, Key, Stored, too_large
from control.apiserver.watcher import Watcher
from control.kvstore.store import Store, StoreError, StoreEvent, StoreWatch, prefix_end

log = logging.getLogger(__name__)

HISTORY = 4096
# So many watchers are written to in one go; with more, requests would wait too long meanwhile.
_AT_ONCE = 200
_PAGE = 2000
_PROGRESS_SECONDS = 5.0
# Who asks for what is newest would rather have it late, on a busy machine, than be refused.
_LATEST_SECONDS = 30.0
_RETRY_SECONDS = 0.5

Observer = Callable[[CachedObject | None, CachedObject | None], None]


class Collection:
    """The objects of one resource."""

    def __init__(self, fields: Fields, floor: int) -> None:
        self.objects: dict[str, CachedObject] = {}
        self.order: list[str] = []
        self.floor = floor
        self.fields = fields
        self._history: deque[Change] = deque()
        # In the order of their arrival, so that the same requests always lead to the same order of answers.
        self._watchers: dict[Watcher, None] = {}
        self._triggers: dict[tuple[str, str], dict[Watcher, None]] = {}
        self._observers: list[Observer] = []

    def select(self, namespace: str) -> list[CachedObject]:
        """The objects of a namespace ("": all), in key order."""
        if not namespace:
            return [self.objects[name] for name in self.order]
        start = bisect_left(self.order, f"{namespace}/")
        end = bisect_left(self.order, f"{namespace}0")
        return [self.objects[name] for name in self.order[start:end]]

    def put(self, name: str, revision: int, value: bytes, *, alone: bool = False) -> None:
        """An object as it was at the start or became; `alone` if no other change is at hand."""
        new = CachedObject(name, revision, codec.attach(value, revision), self.fields)
        self._apply(name, Change(revision, self.objects.get(name), new), alone)

    def remove(self, name: str, revision: int, *, alone: bool = False) -> None:
        """An object went away at `revision`."""
        old = self.objects.get(name)
        if old is not None:
            self._apply(name, Change(revision, old, None), alone)

    def _apply(self, name: str, change: Change, alone: bool) -> None:
        old, new = change.old, change.new
        if new is None:
            del self.objects[name]
            del self.order[bisect_left(self.order, name)]
        else:
            self.objects[name] = new
            if old is None:
                insort(self.order, name)
        self._history.append(change)
        if len(self._history) > HISTORY:
            self.floor = self._history.popleft().revision
        # Who decides by the cache must know of a change before the clients that will act on it.
        for observer in self._observers:
            observer(old, new)
        self._wake(change, _AT_ONCE if alone else 0)

    def _wake(self, change: Change, at_once: int) -> None:
        """Tell the watchers; up to `at_once` of them need no turn of their task for it."""
        for count, watcher in enumerate(self._concerned(change)):
            watcher.push(change, at_once=count < at_once)

    def _concerned(self, change: Change) -> Iterator[Watcher]:
        yield from self._watchers
        if self._triggers:
            for trigger in change.trigger_values({field for field, _ in self._triggers}):
                yield from self._triggers.get(trigger, ())

    def observe(self, observer: Observer) -> None:
        """Call `observer(old, new)` for what is there and after each change."""
        self._observers.append(observer)
        for found in list(self.objects.values()):
            observer(None, found)

    def add(self, watcher: Watcher, since: int) -> None:
        """Feed a watcher with the changes after `since`. Raises Expired if the window begins later."""
        if since < self.floor:
            raise errors.Expired(f"too old resource version: {since} ({self.floor})")
        for change in self._history:
            if change.revision > since:
                watcher.push(change)
        group = self._watchers if watcher.trigger is None else self._triggers.setdefault(watcher.trigger, {})
        group[watcher] = None

    def discard(self, watcher: Watcher) -> None:
        """Stop feeding a watcher."""
        self._watchers.pop(watcher, None)
        if watcher.trigger is not None:
            group = self._triggers.get(watcher.trigger, {})
            group.pop(watcher, None)
            if not group:
                self._triggers.pop(watcher.trigger, None)

    def select_by(self, fields: Fields, revision: int) -> None:
        """Let selectors name other fields from now on; watches begin again."""
        self.fields = fields
        for name, found in self.objects.items():
            self.objects[name] = CachedObject(name, found.revision, found.text, fields)
        self.reset(revision)
        self.drop_all()

    def reset(self, revision: int) -> None:
        """Begin the window at `revision`."""
        self._history.clear()
        self.floor = revision

    def drop_all(self) -> None:
        """End every watch: the window no longer continues what the watchers saw."""
        for watcher in [*self._watchers, *(one for group in self._triggers.values() for one in group)]:
            watcher.drop()


class Cache:
    """All collections and the one watch that feeds them."""

    def __init__(self, store: Store, runtime: Runtime) -> None:
        self._store = store
        self._runtime = runtime
        self._changed = runtime.condition()
        self._collections: dict[tuple[str, str], Collection] = {}
        self._synced = runtime.event()
        self._watch: StoreWatch | None = None
        self._asking = runtime.lock()
        self._question: _Question | None = None
        self._filled = 0
        self.revision = 0

    def start(self, stop: Flag) -> None:
        """Fill the cache and keep it true in a task of its own until `stop` is set and `close` called."""
        self._runtime.spawn("watch-cache", self._run, stop)

    def close(self) -> None:
        """Break the store's watch and end all watchers."""
        watch = self._watch
        if watch is not None:
            watch.close()
        with self._changed:
            for collection in self._collections.values():
                collection.drop_all()

    def synced(self) -> bool:
        """Whether the cache has been filled."""
        return self._synced.is_set()

    def wait_synced(self, timeout: float | None = None) -> bool:
        """Wait until the cache has been filled."""
        return self._synced.wait(timeout)

    def collection(self, group: str, plural: str) -> Collection:
        """The objects of a resource."""
        key = (group or "core", plural)
        found = self._collections.get(key)
        if found is None:
            with self._changed:
                found = self._collections.setdefault(key, Collection(selectable(group, plural), self._filled))
        return found

    def lock(self) -> AbstractContextManager[object]:
        """The lock under which collections change; hold it to read several things of one revision."""
        return self._changed

    def peek(self, key: Key) -> Stored | None:
        """The object as of the cache's revision."""
        collection = self.collection(key.resource.group, key.resource.plural)
        found = collection.objects.get(f"{key.namespace}/{key.name}" if key.namespace else key.name)
        return Stored(found.revision, found.text) if found else None

    def catch_up(self) -> None:
        """Wait until the cache shows everything that the store had acknowledged before this call.

        Callers that arrive while a question to the store is under way share the next one.
        """
        question = self._question
        if question is not None:
            question.answered.wait()
        else:
            question = self._question = _Question(self._runtime.event())
            self._ask(question)
        if question.failure is not None:
            raise question.failure
        self.wait(question.revision, _LATEST_SECONDS)

    def _ask(self, question: _Question) -> None:
        with self._asking:
            # Who comes from here on may have seen a write that this question is too early for.
            self._question = None
            try:
                question.revision = self._store.range(ROOT.encode(), count_only=True).revision
            except StoreError as error:
                question.failure = error
            finally:
                question.answered.set()

    def wait(self, revision: int, timeout: float = 3.0) -> None:
        """Wait until the cache has reached `revision`. Raises Timeout (the original's words)."""
        if self.revision >= revision:
            return
        deadline = self._runtime.monotonic() + timeout
        with self._changed:
            while self.revision < revision:
                left = deadline - self._runtime.monotonic()
                if left <= 0:
                    raise too_large(revision, self.revision)
                self._changed.wait(left)

    def _run(self, stop: Flag) -> None:
        while not stop.is_set():
            try:
                self._fill()
                self._follow(stop)
            except StoreError as error:
                if stop.is_set():
                    return
                log.warning("the watch of the store ended, starting over: %s", error)
                stop.wait(_RETRY_SECONDS)

    def _fill(self) -> None:
        start, end, revision = ROOT.encode(), prefix_end(ROOT.encode()), 0
        seen: dict[bytes, tuple[int, bytes]] = {}
        more = True
        while more:
            page = self._store.range(start, end, revision=revision, limit=_PAGE)
            revision, more = revision or page.revision, page.more
            for item in page.items:
                seen[item.key] = item.mod_revision, item.value
            if page.items:
                start = page.items[-1].key + b"\x00"
        with self._changed:
            self._replace(seen, revision)
            self._changed.notify_all()
        self._synced.set()

    def _replace(self, seen: dict[bytes, tuple[int, bytes]], revision: int) -> None:
        """Make the collections equal to a snapshot. Watchers of an earlier fill are ended: what happened between
        is known only as a difference, without the order of the changes."""
        if self._filled:
            # Before the difference is applied: its order is that of the keys, and whoever saw a part of it and
            # resumed behind the newest revision in that part would miss the rest.
            for collection in self._collections.values():
                collection.drop_all()
        for key, collection in self._collections.items():
            base = f"{ROOT}{key[0]}/{key[1]}/"
            for name in [name for name in collection.order if f"{base}{name}".encode() not in seen]:
                collection.remove(name, revision)
        for encoded, (modified, value) in seen.items():
            collection, name = self._locate(encoded)
            present = collection.objects.get(name)
            if present is None or present.revision != modified:
                collection.put(name, modified, value)
        self.revision = self._filled = revision
        for collection in self._collections.values():
            collection.reset(revision)

    def _follow(self, stop: Flag) -> None:
        self._watch = watch = self._store.watch(
            ROOT.encode(),
            prefix_end(ROOT.encode()),
            revision=self.revision + 1,
            progress_seconds=_PROGRESS_SECONDS,
            previous=False,
        )
        try:
            for batch in watch:
                if stop.is_set():
                    return
                with self._changed:
                    # Of several changes that are at hand each watcher's task sends all in one piece.
                    alone = len(batch.events) == 1
                    for event in batch.events:
                        self._take(event, alone)
                    self.revision = max(self.revision, batch.revision)
                    self._changed.notify_all()
        finally:
            self._watch = None
            watch.close()

    def _take(self, event: StoreEvent, alone: bool) -> None:
        collection, name = self._locate(event.current.key)
        if event.deleted:
            collection.remove(name, event.current.mod_revision, alone=alone)
        else:
            collection.put(name, event.current.mod_revision, event.current.value, alone=alone)

    def _locate(self, encoded: bytes) -> tuple[Collection, str]:
        group, plural, name = encoded.decode()[len(ROOT) :].split("/", 2)
        return self.collection("" if group == "core" else group, plural), name


class _Question:
    """One request for the store's revision, shared by all who arrived before it was sent."""

    __slots__ = ("answered", "failure", "revision")

    def __init__(self, answered: Flag) -> None:
        self.answered = answered
        self.failure: StoreError | None = None
        self.revision = 0
