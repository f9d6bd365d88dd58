"""Reads tasks, blocks and static imports.

Invariant: every task that comes out is checked: its keywords, its module, that module's parameters and what they
plainly say. Dynamic includes are checked too where their file name is plain text.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from inventory.documents import Mark, MarkedDict, MarkedList
from playbooks.engine.helper.options import OptionError, boolean, convert
from playbooks.engine.helper.options import names as option_names
from playbooks.engine.language import expressions, freeform, keywords, modules
from playbooks.engine.language.loading import Loader, many, mapping
from playbooks.engine.language.values import Block, Loop, LoopControl, Node, Role, Scope, Task
from playbooks.errors import NotFoundError, PlaybookError

_BOOLEAN = frozenset(
    ("become", "any_errors_fatal", "check_mode", "diff", "ignore_errors", "ignore_unreachable", "no_log", "run_once")
)
_BLOCK_WORDS = ("block", "rescue", "always")


@dataclass(slots=True)
class Collected:
    """What a play gains from the roles in it, in the order of reading."""

    handlers: list[Task] = field(default_factory=list)
    roles: list[Role] = field(default_factory=list)


class TaskParser:
    """Reads one play's tasks. `render` evaluates the file names of imports with what is known before a run."""

    def __init__(self, loader: Loader, collected: Collected, render: Callable[[str, Mapping[str, Any]], str]) -> None:
        self.loader = loader
        self.collected = collected
        self._render = render
        self._checking: set[Path] = set()

    def nodes(self, items: Any, scope: Scope, mark: Mark, *, handlers: bool = False) -> tuple[Node, ...]:
        """The tasks and blocks of a list. Raises PlaybookError."""
        if items is None:
            return ()
        if not isinstance(items, MarkedList):
            raise PlaybookError(f"{mark}: tasks must be a list")
        found: list[Node] = []
        for item in items:
            if not isinstance(item, MarkedDict):
                raise PlaybookError(f"{items.mark}: a task must be a mapping, not {item!r}")
            if any(word in item for word in _BLOCK_WORDS):
                if handlers:
                    raise PlaybookError(f"{item.mark}: a block cannot be a handler")
                found.append(self._block(item, scope, handlers))
            else:
                found.extend(self._task(item, scope, handlers))
        return tuple(found)

    def file(self, path: Path, scope: Scope, *, handlers: bool = False) -> tuple[Node, ...]:
        """The tasks of a file. Raises PlaybookError."""
        items = self.loader.sequence(path, "a file of tasks")
        return self.nodes(items, scope, items.mark, handlers=handlers)

    def included(self, task: Task, name: str, apply: Any, variables: Mapping[str, Any]) -> tuple[Node, ...]:
        """What a dynamic `include_tasks` brings: the file's tasks in the scope of the include."""
        scope = self.include_scope(task, apply, variables)
        return self.file(self.find(task, name), scope)

    def include_scope(self, task: Task, apply: Any, variables: Mapping[str, Any]) -> Scope:
        """The scope of included tasks: what surrounds the include, `apply`, and the include's variables."""
        own = mapping(apply if isinstance(apply, MarkedDict) else None, task.mark, "apply")
        for word in own:
            if word not in keywords.BLOCK - set(_BLOCK_WORDS):
                raise keywords.refuse(own.mark_of(word), "keyword of apply", word, keywords.BLOCK)
        scope = self.extend(task.scope, own)
        merged = {**scope.variables, **task.variables, **variables}
        return replace(scope, variables=merged, given={**task.given, **variables})

    def find(self, task: Task, name: str) -> Path:
        """The file of an include: beside the including file, in the role's tasks, beside the playbook."""
        places = [Path(task.mark.path).parent]
        if task.role:
            places.insert(0, task.role.path / "tasks")
        places.append(self.loader.directory)
        for place in places:
            if (place / name).is_file():
                return place / name
        looked = ", ".join(dict.fromkeys(str(place) for place in places))
        raise NotFoundError(f"{task.mark}: the file {name!r} was not found in {looked}")

    def extend(self, scope: Scope, item: MarkedDict, role: Role | None = None) -> Scope:
        """`scope` with what a block, role or task adds for everything in it."""
        own = {word: item[word] for word in item if word in keywords.INHERITED}
        for word in _BOOLEAN & own.keys():
            _check_boolean(word, own[word], item.mark_of(word))
        return Scope(
            keywords={**scope.keywords, **own},
            when=scope.when + many(item.get("when")),
            tags=scope.tags | self.tags(item),
            variables={**scope.variables, **variables_of(item)},
            environment=scope.environment + many(item.get("environment")),
            notify=scope.notify + many(item.get("notify")),
            role=role or scope.role,
            given=scope.given,
            rescued=scope.rescued,
        )

    def tags(self, item: MarkedDict) -> frozenset[str]:
        """The tags an item names, as a list or with commas."""
        found: set[str] = set()
        for tag in many(item.get("tags")):
            text = self._render(str(tag), self.loader.extra) if "{{" in str(tag) else str(tag)
            found.update(part.strip() for part in text.split(",") if part.strip())
        return frozenset(found)

    def _block(self, item: MarkedDict, scope: Scope, handlers: bool) -> Block:
        for word in item:
            if word not in keywords.BLOCK:
                raise keywords.refuse(item.mark_of(word), "keyword of a block", word, keywords.BLOCK)
        if "block" not in item:
            raise PlaybookError(f"{item.mark}: rescue and always need a block")
        inner = self.extend(scope, item)
        parts: dict[str, tuple[Node, ...]] = {}
        for word in _BLOCK_WORDS:
            scope = replace(inner, rescued=inner.rescued or (word == "block" and bool(item.get("rescue"))))
            parts[word] = self.nodes(item.get(word), scope, item.mark_of(word), handlers=handlers)
        return Block(**parts, name=str(item.get("name") or ""), mark=item.mark)

    def _task(self, item: MarkedDict, scope: Scope, handler: bool) -> tuple[Node, ...]:
        action, given, mark = self._action(item, handler)
        expressions.check(item)
        if handler:
            keywords.check_handler(action, given, mark)
        if action in ("include_tasks", "include_role"):
            _check_include_words(action, item)
        module = modules.module(action)
        assert module is not None
        arguments, late = _arguments(module, given, item, mark)
        own = self.extend(scope, item)
        if action in ("import_tasks", "import_role"):
            return self._import(action, arguments, own, item)
        task = _build(item, action, arguments, late, scope, own)
        foreseen = handler or _is_foreseen(task)
        if not _may_fail(task) or action in modules.CONTROL:
            _check_names(module, task, mark)
        if not foreseen or action in modules.CONTROL:
            _check_values(module, task, mark)
        if action in ("include_tasks", "include_role"):
            with contextlib.suppress(*((NotFoundError,) if foreseen else ())):
                self._check_include(task)
        return (task,)

    def _action(self, item: MarkedDict, handler: bool) -> tuple[str, Any, Mark]:
        """The module a task names, its raw arguments, and where that stands."""
        known = keywords.HANDLER if handler else keywords.TASK
        candidates = [
            word for word in item if word in ("action", "local_action") or not (word in known or keywords.loop(word))
        ]
        modules_named = [word for word in candidates if modules.canonical(word) in modules.names()]
        strangers = [word for word in candidates if word not in modules_named and "action" not in word]
        if strangers:
            word = strangers[0]
            raise keywords.refuse_module(item.mark_of(word), word, known | modules.names())
        actions = [word for word in candidates if word in ("action", "local_action")] + modules_named
        if len(actions) != 1:
            what = "names no module" if not actions else f"names {len(actions)} modules: {', '.join(actions)}"
            raise PlaybookError(f"{item.mark}: the task {what}; a task has exactly one")
        word = actions[0]
        mark, given = item.mark_of(word), item[word]
        if word not in ("action", "local_action"):
            return modules.canonical(word), given, mark
        if word == "local_action":
            item["delegate_to"] = "localhost"
        if isinstance(given, MarkedDict):
            name = str(given.get("module", ""))
            rest: Any = MarkedDict(given.mark)
            rest.update({key: value for key, value in given.items() if key != "module"})
        else:
            name, _, rest = str(given).partition(" ")
        if modules.canonical(name) not in modules.names():
            raise keywords.refuse(mark, "module", name, modules.names())
        return modules.canonical(name), rest or None, mark

    def _import(self, action: str, arguments: Mapping[str, Any], own: Scope, item: MarkedDict) -> tuple[Node, ...]:
        for word in item:
            if keywords.loop(word) or word in ("loop", "register", "until", "loop_control"):
                raise PlaybookError(
                    f"{item.mark_of(word)}: {word!r} cannot stand on {action}; use include_{action[7:]}"
                )
        name = str(arguments.get("file" if action == "import_tasks" else "name"))
        if "{{" in name:
            of_role = {"role_path": str(own.role.path.absolute()), "role_name": own.role.name} if own.role else {}
            name = self._render(name, {**of_role, **own.variables, **self.loader.extra})
        if action == "import_role":
            from playbooks.engine.language.roles import RoleParser

            return RoleParser(self).imported(name, arguments, own, item.mark)
        probe = _build(item, action, arguments, None, own, own)
        return (Block(self.file(self.find(probe, name), own), mark=item.mark),)

    def _check_include(self, task: Task) -> None:
        """Read what a plainly named include brings, so that its faults show before the first task runs.

        Raises NotFoundError for what is not there, another PlaybookError for what is wrong in it.
        """
        name = str(task.arguments.get("file") or task.arguments.get("name") or "")
        if "{{" in name or (task.scope.role is None and task.loop is not None):
            return
        silent = TaskParser(self.loader, Collected(), self._render)
        silent._checking = self._checking
        if task.action == "include_role":
            from playbooks.engine.language.roles import RoleParser

            key = self.loader.role(name, RoleParser(self).beside(task.scope), task.mark)
            if key not in self._checking:
                self._checking.add(key)
                RoleParser(silent).imported(name, task.arguments, task.scope, task.mark)
            return
        path = self.find(task, name)
        if path not in self._checking:
            self._checking.add(path)
            silent.included(task, name, task.arguments.get("apply"), {})


def _build(item: MarkedDict, action: str, arguments: Mapping[str, Any], late: Any, scope: Scope, own: Scope) -> Task:
    words: dict[str, Any] = dict(own.keywords)
    words.update({word: item[word] for word in ("async", "poll") if word in item})
    return Task(
        name=str(item.get("name") or ""),
        action=action,
        arguments=arguments,
        mark=item.mark,
        scope=scope,
        keywords=words,
        when=own.when,
        tags=own.tags,
        variables=own.variables,
        environment=own.environment,
        notify=own.notify,
        listen=tuple(str(topic) for topic in many(item.get("listen"))),
        register=_register(item),
        loop=_loop(item),
        loop_control=_loop_control(item),
        until=many(item.get("until")),
        retries=item.get("retries"),
        delay=item.get("delay", 5),
        changed_when=many(item["changed_when"]) if "changed_when" in item else None,
        failed_when=many(item["failed_when"]) if "failed_when" in item else None,
        late_arguments=late,
        word=next((word for word in item if modules.canonical(word) == action), ""),
        given={**own.given, **(variables_of(item) if action in ("include_tasks", "include_role") else {})},
    )


def _register(item: MarkedDict) -> str:
    name = str(item.get("register") or "")
    if name and not keywords.is_variable(name):
        raise PlaybookError(f"{item.mark_of('register')}: {name!r} is no name of a variable: letters, digits and _ are")
    return name


def _loop(item: MarkedDict) -> Loop | None:
    found = [word for word in item if word == "loop" or keywords.loop(word)]
    if len(found) > 1:
        raise PlaybookError(f"{item.mark_of(found[1])}: a task has one loop; here are {' and '.join(found)}")
    if not found:
        return None
    return Loop(keywords.loop(found[0]), item[found[0]])


def _loop_control(item: MarkedDict) -> LoopControl:
    control = mapping(item.get("loop_control"), item.mark_of("loop_control"), "loop_control")
    for word in control:
        if word not in keywords.LOOP_CONTROL:
            raise keywords.refuse(control.mark_of(word), "keyword of loop_control", word, keywords.LOOP_CONTROL)
    return LoopControl(
        loop_var=str(control.get("loop_var", "item")),
        index_var=str(control.get("index_var") or ""),
        label=control.get("label"),
        pause=control.get("pause", 0),
        extended=_boolean(control, "extended", False),
        extended_allitems=_boolean(control, "extended_allitems", True),
        break_when=many(control.get("break_when")),
    )


def _arguments(module: modules.Module, given: Any, item: MarkedDict, mark: Mark) -> tuple[dict[str, Any], Any]:
    """A task's arguments from all the forms in which they can stand, and those known only at run time."""
    further = item.get("args")
    late = further if isinstance(further, str) else None
    merged: dict[str, Any] = {} if late else dict(mapping(further, item.mark_of("args"), "args"))
    if isinstance(given, MarkedDict):
        return {**merged, **given}, late
    if given is None:
        return merged, late
    if isinstance(given, list):
        if module.free_form:
            return {**merged, module.free_form: given}, late
        raise PlaybookError(f"{mark}: the parameters of {module.name} must be a mapping")
    text = str(given)
    if module.open_ended and text.startswith("{{") and "=" not in text:
        return merged, text
    try:
        # In what a shell is to read, only parameters of the module itself are no text.
        plain = module.name not in ("command", "shell", "script", "raw")
        known = None if plain else frozenset(option_names(module.options)) - {module.free_form}
        free, pairs = freeform.pairs(text, known)
    except ValueError as error:
        raise PlaybookError(f"{mark}: {module.name}: {error} in {text!r}") from error
    if free and not module.free_form:
        if text.startswith("{{") and text.endswith("}}"):
            return merged, text
        raise PlaybookError(f"{mark}: {module.name} takes parameters, not the text {free!r}")
    free = free if module.name == "shell" else free.rstrip()
    return {**merged, **pairs, **({module.free_form: free} if free else {})}, late


def _check_include_words(action: str, item: MarkedDict) -> None:
    for word in item:
        if word in keywords.TASK and word not in keywords.INCLUDE:
            raise PlaybookError(f"{item.mark_of(word)}: {word!r} cannot stand on {action}; put it under `apply`")


def _is_foreseen(task: Task) -> bool:
    """Whether the play provides for this task to fail, or never to run: then its faults are for then."""
    return bool(task.when or task.loop or "never" in task.tags) or _may_fail(task)


def _may_fail(task: Task) -> bool:
    ignored = task.keywords.get("ignore_errors")
    return bool(task.scope.rescued or task.failed_when) or (
        ignored is not None and (_has_template(ignored) or boolean(ignored))
    )


def _check_names(module: modules.Module, task: Task, mark: Mark) -> None:
    accepted = option_names(module.options)
    for name in task.arguments:
        if name not in accepted and not module.open_ended:
            raise keywords.refuse(mark, f"parameter of {module.name}", name, accepted)


def _check_values(module: modules.Module, task: Task, mark: Mark) -> None:
    accepted = option_names(module.options)
    for name, value in task.arguments.items():
        if name not in accepted or value is None or _has_template(value):
            continue
        try:
            convert(name, module.options[accepted[name]], value)
        except OptionError as error:
            raise PlaybookError(f"{mark}: {module.name}: {error}") from error
    if task.late_arguments is None and "module_defaults" not in task.keywords:
        given = {accepted.get(name, name) for name in task.arguments}
        missing = [name for name, option in module.options.items() if option.required and name not in given]
        if missing:
            raise PlaybookError(f"{mark}: {module.name}: missing required arguments: {', '.join(missing)}")


def _has_template(value: Any) -> bool:
    if isinstance(value, str):
        return "{{" in value or "{%" in value
    if isinstance(value, dict):
        return any(_has_template(item) for item in value.values())
    return isinstance(value, list) and any(_has_template(item) for item in value)


def _boolean(item: MarkedDict, word: str, default: bool) -> Any:
    """A flag that may be a template. Raises PlaybookError."""
    _check_boolean(word, item.get(word, default), item.mark_of(word))
    return item.get(word, default)


def flag(item: Mapping[str, Any], word: str, default: bool, mark: Mark) -> bool:
    """A flag that is known before the run; one that a template decides is not yet. Raises PlaybookError."""
    value = item.get(word, default)
    _check_boolean(word, value, mark)
    return default if _has_template(value) else boolean(value)


def _check_boolean(word: str, value: Any, mark: Mark) -> None:
    if _has_template(value):
        return
    try:
        boolean(value)
    except (ValueError, TypeError) as error:
        raise PlaybookError(f"{mark}: {word} must be true or false, not {value!r}") from error


def variables_of(item: MarkedDict) -> dict[str, Any]:
    """The `vars` of an item: a mapping or a list of mappings. Raises PlaybookError."""
    merged: dict[str, Any] = {}
    for part in many(item.get("vars")):
        merged.update(mapping(part, item.mark_of("vars"), "vars"))
    return merged
