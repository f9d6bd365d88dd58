"""`wherry kvstore`: the composition root of the store's service.

Invariant: the ready line is printed once requests are answered; after SIGTERM no acknowledged write is lost and
the data directory is free for the next process.
"""

from __future__ import annotations

import argparse
from functools import partial

from prometheus_client import CollectorRegistry, Gauge, Histogram

from api.process import configure_logging, stop_event
from api.runtime import Runtime, SystemRuntime
from api.serving import ListenError, Server
from control.kvstore.engines import open_engine
from control.kvstore.engines.local import History
from control.kvstore.service import Observe, application
from control.kvstore.store import Store, StoreError
from control.kvstore.wire import Op

BUCKETS = (0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1, 5)


def configure(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("--data-dir", required=True, metavar="DIR", help="where the sqlite engine keeps its file")
    parser.add_argument("--listen", required=True, metavar="unix:PATH", help="the socket to serve on")
    parser.add_argument("--store", default="sqlite", metavar="ENGINE", help="sqlite (default), memory or etcd=URLS")
    parser.add_argument(
        "--history-seconds", type=float, default=300.0, metavar="N", help="how long old revisions stay readable"
    )
    parser.add_argument(
        "--history-revisions", type=int, default=50_000, metavar="N", help="how many old revisions are kept at most"
    )
    parser.add_argument("-v", "--verbose", action="count", default=0)


def run(arguments: argparse.Namespace) -> int:
    """Serve until SIGTERM."""
    configure_logging(arguments.verbose)
    runtime = SystemRuntime()
    stop = stop_event(runtime)
    metrics = CollectorRegistry()
    try:
        store = _open(arguments, runtime, metrics)
    except StoreError as error:
        raise SystemExit(f"wherry kvstore: {error}") from error
    try:
        observe = _measure(store, metrics)
        config = {name: value for name, value in vars(arguments).items() if name != "run"}
        server = Server(application(store, metrics, config, runtime, observe), arguments.listen)
        server.start()
        print(f"wherry kvstore is ready: {store.status().engine} on {arguments.listen}", flush=True)
        stop.wait()
        server.stop()
    except ListenError as error:
        raise SystemExit(f"wherry kvstore: {error}") from error
    finally:
        store.close()
    return 0


def _open(arguments: argparse.Namespace, runtime: Runtime, metrics: CollectorRegistry) -> Store:
    history = History(seconds=arguments.history_seconds, revisions=arguments.history_revisions)
    commits = Histogram(
        "wherry_kvstore_commit_duration_seconds",
        "Time to make a group of writes durable.",
        buckets=BUCKETS,
        registry=metrics,
    )
    spec = f"sqlite:{arguments.data_dir}" if arguments.store == "sqlite" else arguments.store
    return open_engine(spec, runtime, history, commits.observe)


def _measure(store: Store, metrics: CollectorRegistry) -> Observe:
    requests = Histogram(
        "wherry_kvstore_request_duration_seconds",
        "Time to answer a request.",
        ["operation"],
        buckets=BUCKETS,
        registry=metrics,
    )
    for name, help_text in (
        ("revision", "The newest revision."),
        ("compact_revision", "The oldest readable revision."),
        ("size", "Bytes of the store's files."),
        ("size_in_use", "Bytes of live keys and values."),
        ("keys", "Live keys."),
    ):
        gauge = Gauge(f"wherry_kvstore_{name}", help_text, registry=metrics)
        gauge.set_function(partial(_figure, store, name))
    # Finding a label's child takes as long as observing it.
    children = {operation: requests.labels(operation.name.lower()) for operation in Op}
    return lambda operation, seconds: children[operation].observe(seconds)


def _figure(store: Store, name: str) -> float:
    return float(getattr(store.status(), name))
