"""How large the store's file becomes by many updates of few objects, and what is left once housekeeping rests."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from api.runtime import SystemRuntime
from control.kvstore.engines.local import History
from control.kvstore.engines.sqlite import FILE_NAME, open_sqlite
from control.kvstore.store import Put, Transaction

GROUP = 50
VALUE = b"x" * 1024


def main() -> int:
    """Print the sizes in megabytes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--updates", type=int, default=200_000)
    parser.add_argument("--objects", type=int, default=100)
    parser.add_argument("--history-revisions", type=int, default=History().revisions)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="store-growth-") as name:
        store = open_sqlite(Path(name), SystemRuntime(), History(revisions=options.history_revisions))
        largest = 0
        for first in range(0, options.updates, GROUP):
            keys = (b"/object/%d" % ((first + number) % options.objects) for number in range(GROUP))
            group: list[Transaction] = [([], [Put(key, VALUE)], []) for key in keys]
            store.txn_group(group)
            largest = max(largest, (Path(name) / FILE_NAME).stat().st_size)
        size, before = (Path(name) / FILE_NAME).stat().st_size, 0
        while size != before:
            before = size
            time.sleep(5)
            size = (Path(name) / FILE_NAME).stat().st_size
        found = store.status()
        store.close()
    history = (found.revision - found.compact_revision) * (len(VALUE) + len(b"/object/00"))
    print(f"largest {largest / 1e6:.1f} MB, at rest {size / 1e6:.1f} MB, {found.size / 1e6:.1f} with write-ahead log")
    print(f"live {found.size_in_use / 1e6:.2f} MB, {options.history_revisions} old revisions of {history / 1e6:.1f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
