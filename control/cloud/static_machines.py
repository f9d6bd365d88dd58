"""The machines of a static provider's file: those it lists, and those of an inventory that it names.

Invariant: pure reading; a file that cannot be used is one sentence, and what was read before is not forgotten.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from control.cloud.provider import ConfigError, Metadata, ProviderError
from inventory.errors import InventoryError
from inventory.patterns import match
from inventory.sources import load as load_inventory

_STATES = ("running", "shutdown", "gone")


@dataclass(frozen=True, slots=True)
class Machine:
    """One entry of the file."""

    metadata: Metadata
    state: str = "running"


class File:
    """The machines of a file, read again when it changes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read_at = 0
        self._machines: Mapping[str, Machine] = {}

    def machines(self) -> Mapping[str, Machine]:
        """As the file tells now. Raises ProviderError."""
        try:
            changed = self._path.stat().st_mtime_ns
            if changed != self._read_at:
                self._machines = machines_of(self._path, read_document(self._path))
                self._read_at = changed
        except OSError as error:
            raise ProviderError(f"{self._path} cannot be read: {error.strerror}") from error
        except ConfigError as error:
            raise ProviderError(str(error)) from error
        return self._machines


def read_document(path: Path) -> Mapping[str, Any]:
    try:
        document = yaml.safe_load(path.read_text()) or {}
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is not YAML: {error}") from error
    if not isinstance(document, dict):
        raise ConfigError(f"{path} is not a static provider's file: it is no mapping")
    return document


def machines_of(path: Path, document: Mapping[str, Any]) -> dict[str, Machine]:
    """The machines of the file's inventory, and over them those that it lists itself."""
    found: dict[str, Machine] = {}
    source = document.get("inventory")
    try:
        if source:
            found |= _from_inventory(path.parent / str(source), str(document.get("group") or "all"))
        found |= {str(entry["name"]): _machine(entry) for entry in document.get("machines") or []}
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ConfigError(f"{path} is not a static provider's file: {error!r}") from error
    return found


def _from_inventory(path: Path, group: str) -> dict[str, Machine]:
    """The hosts of a group of an inventory as machines. Raises ConfigError."""
    try:
        inventory = load_inventory([path])
        hosts = match(inventory, group)
    except InventoryError as error:
        raise ConfigError(str(error)) from error
    found = {}
    for host in hosts:
        variables = inventory.host_variables(host)
        address = str(variables.get("node_address") or variables.get("ansible_host") or "")
        entry = {"name": host, "addresses": {"InternalIP": address} if _is_address(address) else {}}
        entry |= {part: variables[name] for name, part in _FROM_VARIABLES.items() if name in variables}
        found[host] = _machine(entry)
    return found


# Variables of a host, and the parts of a machine that they are.
_FROM_VARIABLES = {"zone": "zone", "region": "region", "instance_type": "instanceType", "node_labels": "labels"}


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _machine(entry: Mapping[str, Any]) -> Machine:
    name, state = str(entry["name"]), str(entry.get("state") or "running")
    if state not in _STATES:
        raise ValueError(f"machine {name}: state {state} is none of {', '.join(_STATES)}")
    addresses = tuple((kind, str(address)) for kind, address in (entry.get("addresses") or {}).items())
    metadata = Metadata(
        provider_id=str(entry.get("providerID") or f"static://{name}"),
        addresses=addresses,
        instance_type=str(entry.get("instanceType") or ""),
        zone=str(entry.get("zone") or ""),
        region=str(entry.get("region") or ""),
        labels={str(key): str(value) for key, value in (entry.get("labels") or {}).items()},
    )
    return Machine(metadata, state)
