"""Which modules there are and what each accepts, read from the modules themselves.

Invariant: a module is imported only once a playbook names it; its `OPTIONS` are the only list of its parameters.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playbooks.engine.helper.options import Option, Options
from playbooks.engine.language import keywords

_PLAYBOOKS = Path(__file__).parents[2]
_PREFIXES = ("ansible.builtin.", "ansible.legacy.", "ansible.posix.")
# The executor itself does these: they steer hosts through the play.
_ROLE_OPTIONS: Options = {
    "name": Option(required=True, aliases=("role",)),
    "tasks_from": Option(default="main"),
    "vars_from": Option(default="main"),
    "defaults_from": Option(default="main"),
    "handlers_from": Option(default="main"),
    "allow_duplicates": Option("bool", default=True),
    "public": Option("bool", default=False),
    "apply": Option("dict"),
    "rolespec_validate": Option("bool", default=True),
}
CONTROL: Mapping[str, Options] = {
    "meta": {"free_form": Option(required=True, choices=keywords.META)},
    "include_tasks": {"file": Option(aliases=("_raw_params",)), "apply": Option("dict")},
    "import_tasks": {"file": Option(aliases=("_raw_params",))},
    "include_role": _ROLE_OPTIONS,
    "import_role": _ROLE_OPTIONS,
}
_ALIASES = {
    "systemd": "systemd_service",
    "gather_facts": "setup",
    "include": "include_tasks",
    "yum": "dnf",
}


@dataclass(frozen=True, slots=True)
class Module:
    """A module's parameters, the one that takes free text, and how it is run."""

    name: str
    options: Options
    free_form: str = ""
    # Any further key=value is a parameter too (set_fact, add_host).
    open_ended: bool = False
    supports_check: bool = True
    # What the result says then, if not the usual.
    unchecked: str = ""
    # Groups of parameters of which at most one may be given.
    exclusive: tuple[tuple[str, ...], ...] = ()
    summary: str = ""
    run_here: Callable[..., Any] | None = field(default=None, compare=False)
    # Where all that is done here is to find what the module needs of this machine.
    prepare: Callable[..., dict[str, Any]] | None = field(default=None, compare=False)


def canonical(name: str) -> str:
    """The name without a collection that Wherry provides: `ansible.builtin.copy` is `copy`."""
    for prefix in _PREFIXES:
        if name.startswith(prefix):
            name = name[len(prefix) :]
            break
    return _ALIASES.get(name, name)


@functools.cache
def names() -> frozenset[str]:
    """All module names."""
    found = {
        path.stem.rstrip("_")
        for folder in ("modules", "engine/actions")
        for path in (_PLAYBOOKS / folder).glob("*.py")
        if not path.stem.startswith("_")
    }
    return frozenset(found - {"context"} | set(CONTROL) | set(_ALIASES) - {"include"})


@functools.cache
def module(name: str) -> Module | None:
    """The module of a canonical name, or None."""
    if name in CONTROL:
        free = "free_form" if name == "meta" else "file" if name.endswith("tasks") else ""
        return Module(name, CONTROL[name], free)
    if name not in names():
        return None
    action = _import(f"playbooks.engine.actions.{name}", "engine/actions", name)
    remote = _import(f"playbooks.modules.{name}", "modules", name)
    source = action if action is not None and hasattr(action, "OPTIONS") else remote
    return Module(
        name,
        source.OPTIONS,
        getattr(source, "FREE_FORM", ""),
        getattr(source, "OPEN_ENDED", False),
        getattr(source, "SUPPORTS_CHECK", True),
        getattr(source, "UNCHECKED", ""),
        getattr(source, "EXCLUSIVE", ()),
        _summary(remote, source),
        getattr(action, "run", None),
        getattr(action, "prepare", None),
    )


def _summary(*sources: Any) -> str:
    """What the first module of these that there is says about itself."""
    return next(((source.__doc__ or "").strip() for source in sources if source is not None), "")


def _import(dotted: str, folder: str, name: str) -> Any:
    for ending in ("", "_"):
        if (_PLAYBOOKS / folder / f"{name}{ending}.py").is_file():
            return importlib.import_module(dotted + ending)
    return None
