"""What `--list-hosts`, `--list-tasks` and `--list-tags` print, as ansible-playbook does.

Invariant: pure reading; no host is touched.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from inventory.model import Inventory
from playbooks.engine.display.events import Display
from playbooks.engine.executor.play_runner import PlayRunner
from playbooks.engine.executor.run_state import RunState
from playbooks.engine.language import tags
from playbooks.engine.language.loading import Loader
from playbooks.engine.language.values import Block, Node, Play, Playbook, Task
from playbooks.engine.result import Options


def listing(playbook: Playbook, inventory: Inventory, options: Options, loader: Loader, wanted: Any) -> Iterator[str]:
    """The lines; `wanted` has the flags `list_hosts`, `list_tasks`, `list_tags`. Raises PlaybookError."""
    state = RunState(playbook, inventory, options, loader, Display())
    yield f"\nplaybook: {playbook.path}"
    for number, play in enumerate(playbook.plays, 1):
        yield f"\n  play #{number} ({play.hosts}): {play.name}\tTAGS: [{', '.join(sorted(play.scope.tags))}]"
        if wanted.list_hosts:
            hosts = PlayRunner(state, play).hosts()
            yield f"    pattern: {[play.hosts] if isinstance(play.hosts, str) else list(play.hosts)}"
            yield f"    hosts ({len(hosts)}):"
            yield from (f"      {host}" for host in hosts)
        yield from _of_play(play, options, wanted)


def _of_play(play: Play, options: Options, wanted: Any) -> Iterator[str]:
    chosen = [task for task in _tasks(play) if tags.chosen(task.tags, options.tags, options.skip_tags)]
    if wanted.list_tasks:
        yield "    tasks:"
        yield from (f"      {task.title}\tTAGS: [{', '.join(sorted(task.tags))}]" for task in chosen)
    if wanted.list_tags:
        found = sorted({tag for task in chosen for tag in task.tags})
        yield f"      TASK TAGS: [{', '.join(found)}]"


def _tasks(play: Play) -> Iterator[Task]:
    for section in play.sections:
        yield from _flat(section)


def _flat(nodes: Iterable[Node]) -> Iterator[Task]:
    for node in nodes:
        if isinstance(node, Block):
            yield from _flat((*node.block, *node.rescue, *node.always))
        elif node.action != "meta":
            yield node
