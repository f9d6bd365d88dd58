"""The composition root that all control-plane clients share: flags, health, leader election, a clean stop.

A component hands in a function that makes its `Term`: what works while this process leads. A new term is made
for every lead, so nothing observed under an earlier lead is ever acted on.

Invariant: at most one term works at a time in a process, and none once its lead is lost.
"""

from __future__ import annotations

import argparse
import socket
import sys
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from prometheus_client import CollectorRegistry

from api import kubeconfig
from api.client import Client
from api.kubeconfig import KubeconfigError
from api.leader import LeaderElector
from api.process import configure_logging, stop_event
from api.runtime import Event, Runtime, SystemRuntime
from api.serving import CheckFailed, ListenError, Server, service


class Term(Protocol):
    """What a component does while it leads."""

    def run(self, stop: Event) -> None:
        """Work until `stop`; everything is at rest when it returns."""

    def unsynced(self) -> list[str]:
        """The resources whose first list is not in yet."""


def add_arguments(parser: argparse.ArgumentParser, listen: str) -> None:
    """The flags every control-plane client has."""
    parser.add_argument("--kubeconfig", required=True, help="how to reach the API server, and who we are")
    parser.add_argument("--listen", default=listen, help="ADDR:PORT or unix:PATH of health and metrics (%(default)s)")
    parser.add_argument("--leader-elect-lease-duration", type=seconds, default=15.0, help="(default: %(default)s s)")
    parser.add_argument("--leader-elect-renew-deadline", type=seconds, default=10.0, help="(default: %(default)s s)")
    parser.add_argument("--leader-elect-retry-period", type=seconds, default=2.0, help="(default: %(default)s s)")
    parser.add_argument("-v", "--verbosity", type=int, default=0, help="1 logs every step")


def seconds(text: str) -> float:
    """A duration of the command line: `40`, `40s`, `5m`, `1m30s`, `500ms`, `1h`. Raises ArgumentTypeError."""
    units = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
    total, number, rest = 0.0, "", text.strip()
    while rest:
        while rest and (rest[0].isdigit() or rest[0] == "."):
            number, rest = number + rest[0], rest[1:]
        unit = next((name for name in units if rest.startswith(name)), "" if rest else "s")
        if not unit or not number:
            raise argparse.ArgumentTypeError(f"{text!r} is not a duration such as 40s or 5m")
        total, number, rest = total + float(number) * units[unit], "", rest.removeprefix(unit)
    return total


class Component:
    """One process that campaigns for the Lease `name` and runs a term whenever it leads."""

    def __init__(self, name: str, arguments: argparse.Namespace, config: Mapping[str, Any]) -> None:
        self.name = name
        self.runtime: Runtime = SystemRuntime()
        self.metrics = CollectorRegistry()
        self._arguments = arguments
        self._config = config
        self._term: Term | None = None

    def run(self, make_term: Callable[[Client], Term]) -> int:
        """Serve health and campaign until SIGTERM; the exit status. An error is one sentence on stderr."""
        configure_logging(self._arguments.verbosity)
        try:
            client = kubeconfig.client(self._arguments.kubeconfig, self.name)
            server = Server(self._application(), self._arguments.listen)
        except (KubeconfigError, ListenError) as error:
            print(f"wherry {self.name}: {error}", file=sys.stderr)
            return 1
        stop = stop_event(self.runtime)
        server.start()
        try:
            self._elector(client).run(stop, lambda term, lost: self._lead(term, make_term, lost))
        finally:
            server.stop()
        return 0

    def _lead(self, client: Client, make_term: Callable[[Client], Term], lost: Event) -> None:
        self._term = make_term(client)
        try:
            self._term.run(lost)
        finally:
            self._term = None

    def _elector(self, client: Client) -> LeaderElector:
        # The address is held by one process at a time: one that restarts there is the same candidate and need
        # not wait for the Lease of its former self to run out.
        return LeaderElector(
            client,
            self.runtime,
            name=self.name,
            identity=f"{socket.gethostname()}_{self._arguments.listen}",
            lease_duration=self._arguments.leader_elect_lease_duration,
            renew_deadline=self._arguments.leader_elect_renew_deadline,
            retry=self._arguments.leader_elect_retry_period,
        )

    def _application(self) -> Callable[..., Any]:
        def synced() -> None:
            missing = self._term.unsynced() if self._term else []
            if missing:
                raise CheckFailed(f"not listed yet: {', '.join(missing)}")

        return service(self.name, metrics=self.metrics, config=self._config, ready={"informer-sync": synced})
