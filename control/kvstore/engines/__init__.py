"""Where the keys live: memory, a SQLite file, or an etcd cluster, all behind `control.kvstore.store.Store`.

Invariant: what a store answers does not depend on its engine; what survives a crash does.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from api.runtime import Runtime
from control.kvstore.engines.etcd import open_etcd
from control.kvstore.engines.local import History
from control.kvstore.engines.memory import open_memory
from control.kvstore.engines.sqlite import open_sqlite
from control.kvstore.store import Store, StoreError


def open_engine(
    spec: str,
    runtime: Runtime,
    history: History | None = None,
    observe_commit: Callable[[float], None] = lambda seconds: None,
) -> Store:
    """The engine that `spec` names: `memory`, `sqlite:DIRECTORY` or `etcd=URL,URL`.

    `observe_commit` is told the seconds that each durable write took. Raises StoreError for another name, and
    Corrupt or Unavailable if the engine cannot be opened.
    """
    if spec == "memory":
        return open_memory(runtime, history)
    if spec.startswith("sqlite:"):
        return open_sqlite(Path(spec.removeprefix("sqlite:")), runtime, history, observe_commit)
    if spec.startswith("etcd="):
        return open_etcd(spec.removeprefix("etcd=").split(","), runtime, history)
    raise StoreError(f"unknown store {spec!r}; use unix:PATH, sqlite:DIRECTORY, etcd=URLS or memory")
