"""Runs one play: its hosts, its batches, its strategy.

Invariant: a host that failed or was unreachable takes no part in later plays.
"""

from __future__ import annotations

import getpass
import random
import string
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from inventory import patterns
from inventory.documents import Mark
from inventory.errors import InventoryError
from playbooks.engine.evaluation.crypt import hashed
from playbooks.engine.evaluation.evaluator import Evaluator
from playbooks.engine.evaluation.namespace import Layer, Namespace
from playbooks.engine.executor import batches
from playbooks.engine.executor.play_state import PlayState
from playbooks.engine.executor.run_state import RunState
from playbooks.engine.executor.strategies import STRATEGIES
from playbooks.engine.helper.options import boolean
from playbooks.engine.language.values import Node, Play, Prompt, Scope, Task
from playbooks.errors import PlaybookError, TemplateError


class PlayRunner:
    """Runs one play of a run."""

    def __init__(self, run: RunState, play: Play) -> None:
        self._run = run
        self._play = play

    def go(self, pool: ThreadPoolExecutor) -> bool:
        """Run the play; False if the playbook must stop after it. Raises PlaybookError."""
        self._play = replace(self._play, name=self._name())
        everyone = self.hosts()
        ordered = _ordered(everyone, self._play.order)
        self._warn_of_strangers()
        hosts = [host for host in ordered if host not in self._run.failed]
        self._run.display.play_started(self._play, hosts)
        for host in hosts:
            self._run.count(host)
        if not hosts:
            return True
        prompted = self._ask()
        for batch in batches.batches(ordered, self._serial()):
            able = [host for host in batch if host not in self._run.failed]
            state = PlayState(self._run, self._play, everyone, able, prompted, size=len(batch))
            state.start(self._nodes(able))
            # As in Ansible, who is missing in what begins now counts as failed.
            self._run.rescued.clear()
            STRATEGIES[self._play.strategy or self._run.options.strategy](state).go(pool)
            self._run.broken_off = state.fatal
            if state.fatal or (able == batch and self._run.failed.issuperset(batch)):
                return False
            if state.ended:
                break
        return True

    def hosts(self, *, strict: bool = False) -> list[str]:
        """The hosts of the play under the limit, in the pattern's order. Raises PlaybookError.

        What names nothing is no host, or an error if `strict`.
        """
        pattern = self._pattern()
        try:
            chosen = patterns.match(self._run.inventory, pattern, strict=strict)
            if self._run.options.limit:
                allowed = set(limited(self._run.inventory, self._run.options.limit))
                chosen = [host for host in chosen if host in allowed]
        except InventoryError as error:
            raise PlaybookError(f"{self._play.mark}: {error}") from error
        return chosen

    def _pattern(self) -> Any:
        return self._plain().template(self._play.hosts)

    def _name(self) -> str:
        if "{{" not in self._play.name:
            return self._play.name
        try:
            return str(self._plain().template(self._play.name))
        except TemplateError:
            # A name may speak of what only a host knows; it is shown as it is written.
            return self._play.name

    def _warn_of_strangers(self) -> None:
        for name, close in patterns.strangers(self._run.inventory, self._pattern()).items():
            hint = f"; did you mean {close!r}?" if close else ""
            self._run.display.warning(
                f"{self._play.mark}: pattern {name!r} names neither a group nor a host; ignored{hint}"
            )

    def _plain(self) -> Evaluator:
        """Evaluates what is said before any host is known."""
        layers = Namespace(Layer(self._run.options.extra_variables), Layer(self._play.variables))
        return Evaluator(self._run.templates, layers)

    def _serial(self) -> list[Any]:
        sizes: Any = self._plain().template(list(self._play.serial))
        return [size for entry in sizes for size in (entry if isinstance(entry, list) else [entry])]

    def _nodes(self, hosts: list[str]) -> tuple[Node, ...]:
        nodes: list[Node] = []
        gather = self._plain().template(self._play.gather_facts)
        if self._gathers(hosts) if gather is None else boolean(gather):
            nodes.append(self._implicit("setup", self._play.facts, "Gathering Facts"))
        for section in self._play.sections:
            nodes.extend(section)
            nodes.append(self._implicit("meta", {"free_form": "flush_handlers"}))
        return tuple(nodes)

    def _gathers(self, hosts: list[str]) -> bool:
        """Whether a play that says nothing of facts begins with them; `smart` does where some host has none."""
        gathering = self._run.options.gathering
        if gathering == "smart":
            return not all("module_setup" in self._run.variables(host).facts for host in hosts)
        return gathering == "implicit"

    def _implicit(self, action: str, arguments: Mapping[str, Any], name: str = "") -> Task:
        play = self._play
        scope = Scope(
            keywords={
                key: value for key, value in play.scope.keywords.items() if key not in ("run_once", "ignore_errors")
            },
            environment=play.scope.environment,
            when=(),
        )
        mark = Mark(play.mark.path, play.mark.line)
        return Task(
            name=name,
            action=action,
            arguments=arguments,
            mark=mark,
            scope=scope,
            keywords=scope.keywords,
            when=(),
            tags=play.scope.tags | {"always"},
            variables={},
            environment=scope.environment,
        )

    def _ask(self) -> dict[str, Any]:
        """The answers to `vars_prompt`; what the command line says is not asked."""
        answers: dict[str, Any] = {}
        for prompt in self._play.prompts:
            if prompt.name in self._run.options.extra_variables:
                continue
            ask = getpass.getpass if prompt.private else input
            suffix = f" [{prompt.default}]" if prompt.default is not None and not prompt.private else ""
            try:
                typed = ask(f"{prompt.text}{suffix}: ")
                while prompt.confirm and typed != ask(f"confirm {prompt.text}: "):
                    typed = ask(f"{prompt.text}: ")
            except EOFError:
                typed = ""
            answer = typed or prompt.default
            answers[prompt.name] = _hashed(prompt, str(answer)) if prompt.encrypt and answer else answer
        return answers


def _hashed(prompt: Prompt, answer: str) -> str:
    """What takes the place of an answer that nobody is to read. Raises TemplateError for an unknown kind of hash."""
    letters = string.ascii_letters + string.digits
    salt = prompt.salt or "".join(random.SystemRandom().choice(letters) for _ in range(prompt.salt_size))
    return hashed(answer, prompt.encrypt.removesuffix("_crypt"), salt)


def limited(inventory: Any, limit: str) -> list[str]:
    """The hosts of `--limit`: a pattern, or `@file` with one host a line. Raises InventoryError."""
    if limit.startswith("@"):
        from inventory.documents import read_text

        return patterns.match(inventory, [line for line in read_text(limit[1:]).splitlines() if line.strip()])
    return patterns.match(inventory, limit)


def _ordered(hosts: list[str], order: str) -> list[str]:
    if order == "shuffle":
        return random.sample(hosts, len(hosts))
    ordered = sorted(hosts) if "sorted" in order else list(hosts)
    return ordered[::-1] if order.startswith("reverse") else ordered
