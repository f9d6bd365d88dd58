"""`wherry backup`, `wherry restore` and `wherry store`: copies of the cluster's state, and moving it between engines.

Invariant: a command that prints that it is done has read the result back and found it sound.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from api.runtime import SystemRuntime
from control.cli.errors import CommandError
from control.kvstore import backup
from control.kvstore.client import open_store
from control.kvstore.engines.sqlite import verify
from control.kvstore.store import StoreError

DEFAULT_STORE = "sqlite:/var/lib/wherry/kvstore"
_SPEC = "sqlite:DIRECTORY or etcd=URL[,URL…]"


def configure_backup(parser: argparse.ArgumentParser) -> None:
    """Arguments of `wherry backup`."""
    parser.add_argument("--store", default=DEFAULT_STORE, metavar="STORE", help=f"{_SPEC} (default: %(default)s)")
    parser.add_argument("file", type=Path, help="the backup to write")


def run_backup(arguments: argparse.Namespace) -> int:
    """Write a consistent, verified copy of a store that may be in use."""
    path = arguments.file.absolute()
    try:
        revision = backup.take(arguments.store, path, SystemRuntime())
    except StoreError as error:
        raise CommandError(str(error)) from error
    print(f"{path}: revision {revision}, {path.stat().st_size:,} bytes, verified")
    return 0


def configure_restore(parser: argparse.ArgumentParser) -> None:
    """Arguments of `wherry restore`."""
    parser.add_argument("--store", default=DEFAULT_STORE, metavar="STORE", help=f"{_SPEC} (default: %(default)s)")
    parser.add_argument("file", type=Path, help="a backup that `wherry backup` wrote")


def run_restore(arguments: argparse.Namespace) -> int:
    """Put a backup in the place of what the store holds, which is kept aside."""
    try:
        revision = backup.put_back(_existing(arguments.file), arguments.store, SystemRuntime())
    except StoreError as error:
        raise CommandError(str(error)) from error
    print(f"{arguments.store} holds the backup now, at revision {revision}; start the control plane again")
    return 0


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of `wherry store`."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    status = actions.add_parser("status", help="revision, size and keys of a store")
    status.add_argument("--store", default=DEFAULT_STORE, metavar="STORE", help=f"{_SPEC}, or unix:PATH of a service")
    check = actions.add_parser("verify", help="read a backup, or a stopped store's file, completely")
    check.add_argument("file", type=Path)
    migrate = actions.add_parser("migrate", help="carry a stopped cluster's state to another engine")
    migrate.add_argument("--from", dest="source", required=True, metavar="STORE", help=_SPEC)
    migrate.add_argument("--to", dest="target", required=True, metavar="STORE", help=f"{_SPEC}; must be empty")


def run(arguments: argparse.Namespace) -> int:
    """Run an action of `wherry store`."""
    action = {"status": _status, "verify": _verify, "migrate": _migrate}[arguments.action]
    try:
        print(action(arguments))
    except StoreError as error:
        raise CommandError(str(error)) from error
    return 0


def _status(arguments: argparse.Namespace) -> str:
    store = open_store(arguments.store, SystemRuntime())
    try:
        found = store.status()
    finally:
        store.close()
    return (
        f"{found.engine}: revision {found.revision} (history from {found.compact_revision}), {found.keys:,} keys, "
        f"{found.size_in_use:,} bytes in use of {found.size:,}"
    )


def _verify(arguments: argparse.Namespace) -> str:
    return f"{arguments.file} is sound: revision {verify(_existing(arguments.file))}"


def _migrate(arguments: argparse.Namespace) -> str:
    runtime = SystemRuntime()
    if backup.holds_keys(arguments.target, runtime):
        raise CommandError(f"{arguments.target} holds keys already; a cluster is moved to an empty store only")
    with tempfile.TemporaryDirectory(prefix="wherry-migrate-") as directory:
        copy = Path(directory) / "copy.db"
        before = backup.take(arguments.source, copy, runtime)
        after = backup.put_back(copy, arguments.target, runtime, bump=0)
    told = f"{arguments.target} holds what {arguments.source} held, at revision {after} (it was {before}); "
    if after < before:
        return told + "revisions begin anew: restart the control plane and the agents of every node"
    return told + f"start the control plane with --store {arguments.target}"


def _existing(path: Path) -> Path:
    if not path.exists():
        raise CommandError(f"there is no file {path}")
    return path
