"""What all plays of one run share: options, inventory, connections, what became known of the hosts, counts.

Invariant: hosts are only ever added; connections are opened once and closed by `close`.
"""

from __future__ import annotations

import fnmatch
import threading
from collections.abc import Callable, Container, Iterable, Mapping
from pathlib import Path
from typing import Any

from inventory.model import DirectoryVariables, Inventory
from inventory.sources import load
from inventory.variables import read_directory
from playbooks.engine.connection.host import HostConnection
from playbooks.engine.connection.settings import Settings
from playbooks.engine.display.events import Display
from playbooks.engine.evaluation.evaluator import Templates
from playbooks.engine.evaluation.lookups import GLOBALS
from playbooks.engine.language.loading import Loader
from playbooks.engine.language.values import Playbook, Task
from playbooks.engine.result import Counts, Failure, Options
from playbooks.engine.variables.precedence import HostVariables

# Not in the inventory, these mean this machine.
LOCAL_NAMES = ("localhost", "127.0.0.1", "::1")


class RunState:
    """Shared by all threads of a run."""

    def __init__(
        self, playbook: Playbook, inventory: Inventory, options: Options, loader: Loader, display: Display
    ) -> None:
        self.playbook = playbook
        self.inventory = inventory
        self.options = options
        self.loader = loader
        self.display = display
        self.templates = Templates(GLOBALS)
        self.counts: dict[str, Counts] = {}
        self.failures: list[Failure] = []
        self.failed: set[str] = set()
        # Of these, the ones that are out although their play rescued what they lacked.
        self.rescued: set[str] = set()
        self.broken_off = False
        self._beside = self._playbook_variables()
        self._variables: dict[str, HostVariables] = {}
        self._facts: dict[str, dict[str, Any]] = {}
        self._from_inventory: dict[str, Mapping[str, Any]] = {}
        self._growth: list[Callable[[Inventory], Inventory]] = []
        self._connections: dict[Settings, HostConnection] = {}
        self.lock = threading.RLock()
        self.stopping = threading.Event()
        self._started = False

    def variables(self, host: str) -> HostVariables:
        """What became known about a host so far."""
        with self.lock:
            return self._variables.setdefault(host, HostVariables())

    def facts(self, host: str) -> Mapping[str, Any]:
        """The host's facts as a layer."""
        layer = self._facts.get(host)
        if layer is None:
            layer = self._facts[host] = self.variables(host).fact_layer()
        return layer

    def add_facts(self, host: str, facts: Mapping[str, Any]) -> None:
        """Remember facts of a host."""
        with self.lock:
            self.variables(host).facts.update(facts)
            self._facts.pop(host, None)

    def clear_facts(self, host: str) -> None:
        """Forget the facts of a host."""
        with self.lock:
            self.variables(host).facts.clear()
            self._facts.pop(host, None)

    def inventory_variables(self, host: str) -> Mapping[str, Any]:
        """What the inventory and the directories beside the playbook say about a host."""
        found = self._from_inventory.get(host)
        if found is None:
            found = self._from_inventory[host] = self._inventory_variables(host)
        return found

    def known_hosts(self) -> Iterable[str]:
        """Hosts that are not in the inventory but were used: the implicit localhost."""
        return self._variables

    def change_inventory(self, inventory: Inventory) -> None:
        """Go on with another inventory: a host or group was added."""
        with self.lock:
            self.inventory = inventory
            self._from_inventory.clear()

    def grow(self, change: Callable[[Inventory], Inventory]) -> bool:
        """Add a host or a group, now and when the sources are read again; whether that changes anything."""
        with self.lock:
            grown = change(self.inventory)
            changed = grown != self.inventory
            self._growth.append(change)
            self.change_inventory(grown)
            return changed

    def connection(self, settings: Settings) -> HostConnection:
        """The one connection of these settings."""
        with self.lock:
            if settings not in self._connections:
                self._connections[settings] = HostConnection(settings)
            return self._connections[settings]

    def refresh_inventory(self) -> None:
        """Read the inventory's sources again; what the run has added stays."""
        inventory = load(self.inventory.sources, self.options.vault_secrets)
        for change in self._growth:
            inventory = change(inventory)
        self.change_inventory(inventory)

    def reached_start(self, task: Task) -> bool:
        """Whether `--start-at-task` has been met, with this task or before."""
        wanted = self.options.start_at_task
        if wanted and not self._started:
            self._started = fnmatch.fnmatch(task.name, wanted) or fnmatch.fnmatch(task.title, wanted)
        return not wanted or self._started

    def forgive(self, hosts: Container[str]) -> None:
        """Let hosts that failed begin the next play, and the run end as if they had not."""
        self.failed = {host for host in self.failed if host not in hosts}
        self.failures = [failure for failure in self.failures if failure.host not in hosts]

    def reset_connections(self) -> None:
        """Hang up everywhere; the next task connects again."""
        with self.lock:
            for connection in self._connections.values():
                connection.close()

    def wait(self, seconds: float) -> None:
        """Sleep, or less if the run is being stopped."""
        self.stopping.wait(seconds)

    def close(self) -> None:
        """Hang up everywhere."""
        with self.lock:
            connections = list(self._connections.values())
            self._connections.clear()
        for connection in connections:
            connection.close()

    def count(self, host: str) -> Counts:
        """The host's line of the recap."""
        with self.lock:
            return self.counts.setdefault(host, Counts())

    def _playbook_variables(self) -> tuple[DirectoryVariables, ...]:
        directory = self.playbook.directory.resolve()
        beside_inventory = {_directory(source) for source in self.inventory.sources if "," not in source}
        return () if directory in beside_inventory else (read_directory(directory, self.options.vault_secrets),)

    def _inventory_variables(self, host: str) -> Mapping[str, Any]:
        variables = self.inventory.host_variables(host, self._beside)
        if host not in self.inventory.hosts and host in LOCAL_NAMES:
            return {"ansible_connection": "local", "ansible_python_interpreter": "auto", **variables}
        return variables


def _directory(source: str) -> Path:
    path = Path(source).resolve()
    return path if path.is_dir() else path.parent
