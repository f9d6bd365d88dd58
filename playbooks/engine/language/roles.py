"""Reads roles: defaults, vars, handlers, tasks, and the roles they depend on.

Invariant: every use of a role is here, with a name for uses that are the same: a host that has run one of them to its
end runs no other, unless the role's meta/main.yml, or `import_role` and `include_role`, allow duplicates.
Source: Ansible, "Roles".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from inventory.documents import Mark, MarkedDict, MarkedList
from playbooks.engine.language import keywords
from playbooks.engine.language.loading import many, mapping
from playbooks.engine.language.tasks import TaskParser, flag, variables_of
from playbooks.engine.language.values import Block, Node, Role, Scope, Task
from playbooks.errors import PlaybookError

_META = frozenset(
    (
        "allow_duplicates",
        "dependencies",
        "galaxy_info",
        "collections",
        "argument_specs",
        "standalone",
        "cloud_platforms",
    )
)


class RoleParser:
    """Reads the roles of one play through its task parser."""

    def __init__(self, tasks: TaskParser) -> None:
        self._tasks = tasks
        self._loader = tasks.loader

    def used(self, use: Any, scope: Scope, mark: Mark, parent: Role | None = None) -> tuple[Node, ...]:
        """What one entry of `roles` or `dependencies` brings. Raises PlaybookError."""
        if isinstance(use, str):
            name, item = use, MarkedDict(mark)
        elif isinstance(use, MarkedDict):
            name, item = str(use.get("role") or use.get("name") or ""), use
        else:
            raise PlaybookError(f"{mark}: a role is a name or a mapping with `role`")
        if not name:
            raise PlaybookError(f"{item.mark}: the entry has no `role`")
        parameters = {key: value for key, value in item.items() if key not in keywords.ROLE_USE}
        path = self._loader.role(name, self.beside(scope), item.mark)
        if parent and name in (parent.name, *parent.parents):
            raise PlaybookError(f"{item.mark}: the role {name!r} depends on itself")
        meta = self._meta(path)
        bare = MarkedDict(item.mark)
        bare.update({word: value for word, value in item.items() if word != "vars"})
        bare.key_marks = item.key_marks
        role = replace(
            self._role(name, path, {**parameters}, variables_of(item), item.mark, parent),
            use=repr((str(path), parameters, item.get("vars"), item.get("tags"), item.get("when"))),
            repeats=flag(meta, "allow_duplicates", False, item.mark),
        )
        return self._whole(role, meta, self._tasks.extend(scope, bare, role), item.mark)

    def imported(self, name: str, arguments: Mapping[str, Any], scope: Scope, mark: Mark) -> tuple[Node, ...]:
        """What `import_role` or `include_role` brings; `arguments` may name other files of the role."""
        path = self._loader.role(name, self.beside(scope), mark)
        files = {key: value for key, value in arguments.items() if key.endswith("_from")}
        role = replace(
            self._role(name, path, {}, {}, mark, scope.role, arguments),
            use=repr((str(path), files, dict(scope.variables))),
            repeats=flag(arguments, "allow_duplicates", True, mark),
            parents=(),
        )
        if scope.role:
            role = replace(role, includers=(*scope.role.includers, scope.role))
        return self._whole(role, self._meta(path), replace(scope, role=role), mark, arguments)

    def beside(self, scope: Scope) -> list[Path]:
        """Where a role looks for another one first: in its own `roles`, then next to itself."""
        return [scope.role.path / "roles", scope.role.path.parent] if scope.role else []

    def _role(
        self,
        name: str,
        path: Path,
        parameters: Mapping[str, Any],
        given: Mapping[str, Any],
        mark: Mark,
        parent: Role | None,
        files: Mapping[str, Any] | None = None,
    ) -> Role:
        files = files or {}
        defaults = self._loader.role_variables(path, "defaults", str(files.get("defaults_from") or "main"), mark)
        variables = self._loader.role_variables(path, "vars", str(files.get("vars_from") or "main"), mark)
        return Role(
            name=path.name if Path(name).is_absolute() else name,
            path=path,
            defaults={**(parent.defaults if parent else {}), **defaults},
            variables={**(parent.variables if parent else {}), **variables},
            given={**(parent.given if parent else {}), **given},
            parameters={**(parent.parameters if parent else {}), **parameters},
            parents=(*parent.parents, parent.name) if parent else (),
            includers=parent.includers if parent else (),
        )

    def _whole(
        self, role: Role, meta: MarkedDict, scope: Scope, mark: Mark, files: Mapping[str, Any] | None = None
    ) -> tuple[Node, ...]:
        files = files or {}
        nodes: list[Node] = []
        for dependency in many(meta.get("dependencies")):
            nodes.extend(self.used(dependency, scope, meta.mark_of("dependencies"), role))
        self._tasks.collected.roles.append(role)
        handlers = self._loader.role_part(role.path, "handlers", str(files.get("handlers_from") or "main"), mark)
        if handlers:
            read = self._tasks.file(handlers, replace(scope, tags=frozenset(), when=scope.when), handlers=True)
            self._tasks.collected.handlers.extend(flat(read))
        entry = str(files.get("tasks_from") or "main")
        tasks = self._loader.role_part(role.path, "tasks", entry, mark)
        own = self._validation(role, meta, scope, entry) if flag(files, "rolespec_validate", True, mark) else ()
        if tasks:
            own += self._tasks.file(tasks, scope)
        if own:
            nodes.append(Block((*own, _complete(scope, mark)), name=role.name, mark=mark))
        return tuple(nodes)

    def _validation(self, role: Role, meta: MarkedDict, scope: Scope, entry: str) -> tuple[Node, ...]:
        """The task that checks the role's arguments, if the role says what it takes at this entry point."""
        file = self._loader.role_part(role.path, "meta", "argument_specs")
        specs = mapping(self._loader.document(file), Mark(str(file), 1), "argument_specs") if file else meta
        specs = mapping(specs.get("argument_specs"), specs.mark, "argument_specs")
        point = Path(entry).stem
        if point not in specs:
            return ()
        spec = mapping(specs[point], specs.mark_of(point), f"the argument spec {point!r}")
        about = f" - {spec['short_description']}" if spec.get("short_description") else ""
        item = MarkedDict(spec.mark)
        item["name"] = f"Validating arguments against arg spec '{point}'{about}"
        item["validate_argument_spec"] = MarkedDict(spec.mark)
        item["validate_argument_spec"].update(
            argument_spec=spec.get("options") or {},
            provided_arguments=dict(role.parameters),
            validate_args_context={
                "type": "role", "name": role.name, "argument_spec_name": point, "path": str(role.path.absolute())
            },
        )  # fmt: skip
        item["tags"] = ["always"]
        items = MarkedList(spec.mark)
        items.append(item)
        return self._tasks.nodes(items, scope, spec.mark)

    def _meta(self, path: Path) -> MarkedDict:
        file = self._loader.role_part(path, "meta")
        if file is None:
            return MarkedDict(Mark(str(path), 1))
        meta = mapping(self._loader.document(file), Mark(str(file), 1), "a role's meta")
        for word in meta:
            if word not in _META:
                raise keywords.refuse(meta.mark_of(word), "keyword of a role's meta", word, _META)
        return meta


def _complete(scope: Scope, mark: Mark) -> Task:
    """What a host comes to when it has run a role to its end."""
    return Task(
        name="",
        action="meta",
        arguments={"free_form": keywords.ROLE_COMPLETE},
        mark=mark,
        scope=scope,
        keywords=scope.keywords,
        when=(),
        tags=frozenset(("always",)),
        variables={},
    )


def flat(nodes: tuple[Node, ...]) -> list[Any]:
    """All tasks in nodes, blocks opened: handlers have no blocks."""
    found: list[Any] = []
    for node in nodes:
        if isinstance(node, Block):
            found.extend(flat(node.block))
        else:
            found.append(node)
    return found
