"""Reads a playbook: its plays, and those of the playbooks it imports.

Invariant: `parse` reads everything that is known before the first task and raises for the first fault it meets.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from inventory.documents import Mark, MarkedDict, MarkedList
from playbooks.engine.language import keywords
from playbooks.engine.language.loading import Loader, many, mapping
from playbooks.engine.language.roles import RoleParser, flat
from playbooks.engine.language.tasks import Collected, TaskParser, flag, variables_of
from playbooks.engine.language.values import Node, Play, Playbook, Prompt, Scope, Task
from playbooks.errors import PlaybookError

_ORDERS = ("inventory", "reverse_inventory", "sorted", "reverse_sorted", "shuffle")
_PROMPT = frozenset(("name", "prompt", "default", "private", "confirm", "encrypt", "salt_size", "salt", "unsafe"))

Render = Callable[[str, Mapping[str, Any]], str]


def parse(path: Path, loader: Loader, render: Render) -> Playbook:
    """The playbook in a file. Raises PlaybookError with file and line."""
    return Playbook(path, tuple(_plays(path, loader, render, Scope(), ())))


def _plays(path: Path, loader: Loader, render: Render, scope: Scope, above: tuple[Path, ...]) -> list[Play]:
    if path.absolute() in above:
        raise PlaybookError(f"{path}:1: the playbook imports itself")
    document = loader.document(path)
    if not isinstance(document, MarkedList):
        raise PlaybookError(f"{path}:1: a playbook is a list of plays")
    plays: list[Play] = []
    for item in document:
        if not isinstance(item, MarkedDict):
            raise PlaybookError(f"{document.mark}: a play must be a mapping, not {item!r}")
        word = next((word for word in item if word.endswith("import_playbook")), None)
        if word is None:
            plays.append(_Reader(loader, render, scope, item).play())
            continue
        for other in item:
            if other not in keywords.IMPORT_PLAYBOOK:
                raise keywords.refuse(
                    item.mark_of(other), "keyword of import_playbook", other, keywords.IMPORT_PLAYBOOK
                )
        name = render(str(item[word]), loader.extra) if "{{" in str(item[word]) else str(item[word])
        imported = path.parent / name
        if not imported.is_file():
            raise PlaybookError(f"{item.mark_of(word)}: the playbook {str(imported)!r} does not exist")
        inner = TaskParser(loader, Collected(), render).extend(scope, item)
        plays.extend(_plays(imported, loader, render, inner, (*above, path.absolute())))
    return plays


class _Reader:
    """Reads one play."""

    def __init__(self, loader: Loader, render: Render, scope: Scope, item: MarkedDict) -> None:
        for word in item:
            if word not in keywords.PLAY:
                raise keywords.refuse(item.mark_of(word), "keyword of a play", word, keywords.PLAY)
        if item.get("hosts") in (None, "", []):
            raise PlaybookError(f"{item.mark}: the play has no `hosts`")
        self._item = item
        self._collected = Collected()
        self._extra = loader.extra
        self._render = self._render_with(render, loader)
        self._tasks = TaskParser(loader, self._collected, self._render)
        outer = {key: value for key, value in item.items() if key not in ("vars", "notify", "when")}
        if "user" in outer:
            outer["remote_user"] = outer.pop("user")
        bare = MarkedDict(item.mark)
        bare.update(outer)
        bare.key_marks = item.key_marks
        self._imported_variables = scope.variables
        self._scope = self._tasks.extend(scope, bare)

    def _render_with(self, render: Render, loader: Loader) -> Render:
        static = {**variables_of(self._item), "playbook_dir": str(loader.directory)}
        return lambda text, given: render(text, {**static, **given})

    def play(self) -> Play:
        """The play. Raises PlaybookError."""
        item = self._item
        # Of handlers with one name the last counts: the play's own win over those of its `roles`, and those of the
        # roles that its tasks import over both.
        sections, of_roles = self._sections()
        own = flat(self._tasks.nodes(item.get("handlers"), self._scope, item.mark_of("handlers"), handlers=True))
        hosts = item["hosts"]
        return Play(
            name=str(item.get("name") or (",".join(map(str, hosts)) if isinstance(hosts, list) else hosts)),
            hosts=hosts,
            mark=item.mark_of("hosts"),
            scope=self._scope,
            variables={**variables_of(item), **self._imported_variables},
            sections=sections,
            handlers=(*of_roles, *own, *self._collected.handlers),
            roles=tuple(self._collected.roles),
            vars_files=many(item.get("vars_files")),
            prompts=tuple(self._prompt(entry) for entry in many(item.get("vars_prompt"))),
            gather_facts=item.get("gather_facts"),
            facts={word: item[word] for word in keywords.FACTS if item.get(word) is not None},
            serial=many(item.get("serial")),
            strategy=self._choice("strategy", keywords.STRATEGIES, "linear") if item.get("strategy") else "",
            max_fail_percentage=item.get("max_fail_percentage"),
            force_handlers=(
                flag(item, "force_handlers", False, item.mark_of("force_handlers"))
                if item.get("force_handlers") is not None
                else None
            ),
            order=self._choice("order", {order: order for order in _ORDERS}, "inventory"),
        )

    def _sections(self) -> tuple[tuple[tuple[Node, ...], ...], tuple[Task, ...]]:
        """The sections, and the handlers that come with `roles`."""
        item, scope = self._item, self._scope
        before = self._tasks.nodes(item.get("pre_tasks"), scope, item.mark_of("pre_tasks"))
        roles: list[Node] = []
        imported, self._collected.handlers = self._collected.handlers, []
        uses = item.get("roles") or MarkedList(item.mark)
        if not isinstance(uses, MarkedList):
            raise PlaybookError(f"{item.mark_of('roles')}: roles must be a list")
        for use in uses:
            roles.extend(RoleParser(self._tasks).used(use, scope, uses.mark))
        of_roles, self._collected.handlers = tuple(self._collected.handlers), imported
        tasks = self._tasks.nodes(item.get("tasks"), scope, item.mark_of("tasks"))
        after = self._tasks.nodes(item.get("post_tasks"), scope, item.mark_of("post_tasks"))
        return (before, (*roles, *tasks), after), of_roles

    def _choice(self, word: str, choices: Mapping[str, str], default: str) -> str:
        text = str(self._item.get(word) or default)
        value = (self._render(text, self._extra) if "{{" in text else text).removeprefix("ansible.builtin.")
        if value not in choices:
            raise keywords.refuse(self._item.mark_of(word), word, value, choices)
        return choices[value]

    def _prompt(self, entry: Any) -> Prompt:
        mark: Mark = self._item.mark_of("vars_prompt")
        item = mapping(entry, mark, "a prompt")
        for word in item:
            if word not in _PROMPT:
                raise keywords.refuse(item.mark_of(word), "keyword of vars_prompt", word, _PROMPT)
        name = str(item.get("name") or "")
        return Prompt(
            name=name,
            text=str(item.get("prompt") or name),
            default=item.get("default"),
            private=flag(item, "private", True, mark),
            confirm=flag(item, "confirm", False, mark),
            encrypt=str(item.get("encrypt") or ""),
            salt=str(item.get("salt") or ""),
            salt_size=int(item.get("salt_size") or 16),
        )
