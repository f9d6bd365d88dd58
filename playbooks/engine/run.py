"""Runs a playbook: reads everything, refuses what cannot be run, then play after play.

Invariant: nothing touches a host before inventory and playbook are read and checked as a whole.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple
from pathlib import Path
from typing import Any

from inventory.errors import InventoryError
from inventory.model import Inventory
from inventory.sources import load
from playbooks.engine.display.events import Display
from playbooks.engine.evaluation.evaluator import Evaluator, Templates
from playbooks.engine.evaluation.lookups import GLOBALS, Services
from playbooks.engine.evaluation.namespace import Layer, Namespace
from playbooks.engine.executor.play_runner import PlayRunner, limited
from playbooks.engine.executor.run_state import RunState
from playbooks.engine.language import plays
from playbooks.engine.language.loading import Loader
from playbooks.engine.language.values import Block, Node, Playbook
from playbooks.engine.result import Options, Result
from playbooks.errors import PlaybookError

_MAKES_GROUPS = ("add_host", "group_by", "include_tasks", "include_role")


def run_playbook(
    path: str | Path, sources: Iterable[str | Path], options: Options | None = None, display: Display | None = None
) -> Result:
    """Run one playbook on the hosts of an inventory.

    Raises PlaybookError before the first task if the inventory, the playbook or an option is wrong.
    """
    options = options or Options()
    inventory = read_inventory(sources, options)
    playbook, loader = read_playbook(Path(path), options)
    return execute(playbook, inventory, options, loader, display or Display())


def read_inventory(sources: Iterable[str | Path], options: Options) -> Inventory:
    """The inventory, with the limit checked against it. Raises PlaybookError."""
    try:
        inventory = load(sources, options.vault_secrets)
        if options.limit and not limited(inventory, options.limit):
            raise PlaybookError(f"--limit {options.limit!r} leaves no hosts")
    except InventoryError as error:
        raise PlaybookError(str(error)) from error
    return inventory


def read_playbook(path: Path, options: Options) -> tuple[Playbook, Loader]:
    """The playbook, checked as a whole. Raises PlaybookError."""
    if not path.is_file():
        raise PlaybookError(f"the playbook {str(path)!r} does not exist")
    loader = Loader(path.parent, options.vault_secrets, options.extra_variables, options.roles_path)
    templates = Templates(GLOBALS)

    def render(text: str, given: Mapping[str, Any]) -> str:
        layers = Namespace(Layer(options.extra_variables), Layer(given))
        return str(Evaluator(templates, layers, Services(loader, (path.parent,))).template(text))

    return plays.parse(path, loader, render), loader


def execute(playbook: Playbook, inventory: Inventory, options: Options, loader: Loader, display: Display) -> Result:
    """Run what was read. Raises PlaybookError."""
    started = time.monotonic()
    state = RunState(playbook, inventory, options, loader, display)
    interrupted = False
    pool = ThreadPoolExecutor(max(1, options.forks), thread_name_prefix="wherry-task")
    for warning in inventory.warnings:
        display.warning(warning)
    try:
        _check_hosts(playbook, state)
        for play in playbook.plays:
            if not PlayRunner(state, play).go(pool):
                break
    except KeyboardInterrupt:
        interrupted = True
        state.stopping.set()
    finally:
        state.close()
        pool.shutdown(wait=not interrupted, cancel_futures=True)
    seconds, failures = time.monotonic() - started, tuple(state.failures)
    # As in Ansible, a host of which no task was to run is not told of.
    counts = {host: counts for host, counts in state.counts.items() if any(astuple(counts))}
    result = Result(counts, failures, seconds, interrupted, state.broken_off, frozenset(state.failed - state.rescued))
    display.finished(result)
    return result


def makes_groups(sections: Iterable[tuple[Node, ...]]) -> bool:
    """Whether tasks may add hosts or groups."""
    for section in sections:
        for node in section:
            if isinstance(node, Block):
                if makes_groups((node.block, node.rescue, node.always)):
                    return True
            elif node.action in _MAKES_GROUPS:
                return True
    return False


def _check_hosts(playbook: Playbook, state: RunState) -> None:
    """Every play's pattern before the first task, as far as no task before it may add groups.

    A pattern may name what this inventory has not, as in Ansible; a playbook that would run nowhere for it is refused.
    """
    runners = []
    anywhere = False
    for play in playbook.plays:
        runners.append(PlayRunner(state, play))
        anywhere = bool(runners[-1].hosts()) or anywhere
        if makes_groups(play.sections):
            return
    for runner in () if anywhere else runners:
        runner.hosts(strict=True)
