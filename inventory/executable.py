"""Runs a dynamic inventory: an executable that answers `--list` (and `--host NAME`) with JSON.

Source: Ansible, "Developing dynamic inventory", inventory script conventions.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from inventory.builder import Builder
from inventory.documents import Mark
from inventory.errors import InventoryError


def read(path: Path, builder: Builder) -> None:
    """Add what the program says to `builder`. Raises InventoryError."""
    document = _ask(path, "--list")
    variables = document.pop("_meta", {}).get("hostvars")
    groups = {name: _body(str(path), name, body) for name, body in document.items()}
    for name, body in groups.items():
        _group(builder, str(path), name, body)
    hosts = dict.fromkeys(str(host) for body in groups.values() for host in body.get("hosts") or ())
    for host in hosts:
        builder.host(host, "all", variables.get(host, {}) if variables is not None else _ask(path, "--host", host))


def _body(path: str, name: str, body: Any) -> Mapping[str, Any]:
    """What is said of a group, in the long form."""
    if isinstance(body, list):
        return {"hosts": body}
    if not isinstance(body, Mapping):
        raise InventoryError(f"{path}: group {name!r} must be a mapping or a list of hosts")
    if not any(key in body for key in ("hosts", "children", "vars")):
        # As ever since the first programs: this is a host, with its variables, of a group of its name.
        return {"hosts": [name], "vars": body}
    return body


def _group(builder: Builder, path: str, name: str, body: Mapping[str, Any]) -> None:
    builder.group(name)
    for host in body.get("hosts") or ():
        builder.host(str(host), name)
    builder.group_variables(name, body.get("vars") or {})
    for child in body.get("children") or ():
        builder.group(str(child))
        builder.child(name, str(child), Mark(path, 1))


def _ask(path: Path, *arguments: str) -> dict[str, Any]:
    command = [str(path.absolute()), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise InventoryError(f"{path}: the inventory program cannot be run: {error}") from error
    if done.returncode != 0:
        reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise InventoryError(f"{path} {arguments[0]}: exit status {done.returncode}: {reason}")
    try:
        answer = json.loads(done.stdout or "{}")
    except ValueError as error:
        raise InventoryError(f"{path} {arguments[0]}: the answer is not JSON: {error}") from error
    if not isinstance(answer, dict):
        raise InventoryError(f"{path} {arguments[0]}: the answer must be a JSON object")
    return answer
