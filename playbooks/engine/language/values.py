"""Plays, blocks, tasks and roles as values.

Invariant: a task already carries all that it inherits from role, blocks and play; nothing looks upwards later.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from inventory.documents import Mark

Variables = Mapping[str, Any]
_NOWHERE = Mark("", 0)


@dataclass(frozen=True, slots=True, eq=False)
class Role:
    """A role as one play uses it: where it is, its variables, and the parameters of this use."""

    name: str
    path: Path
    defaults: Variables
    variables: Variables
    parameters: Variables
    parents: tuple[str, ...] = ()
    # The `vars` of this use: for the role's own tasks only.
    given: Variables = field(default_factory=dict)

    # The roles whose tasks include or import this one, the outermost first; a dependency has its role's.
    includers: tuple[Role, ...] = ()
    # What this use has in common with those that count as the same one, and whether it runs all the same after them.
    use: str = ""
    repeats: bool = False


@dataclass(frozen=True, slots=True)
class Scope:
    """What everything in a play, role or block inherits."""

    keywords: Mapping[str, Any] = field(default_factory=dict)
    when: tuple[Any, ...] = ()
    tags: frozenset[str] = frozenset()
    variables: Variables = field(default_factory=dict)
    environment: tuple[Any, ...] = ()
    notify: tuple[Any, ...] = ()
    role: Role | None = None
    # The `vars` of the includes that led here: nothing that a task learns overrides them.
    given: Variables = field(default_factory=dict)
    # A `rescue` around it takes care of what fails here.
    rescued: bool = False


@dataclass(frozen=True, slots=True)
class Loop:
    """`loop` or a `with_` lookup over an expression."""

    lookup: str
    expression: Any


@dataclass(frozen=True, slots=True)
class LoopControl:
    """How a loop names and paces its items."""

    loop_var: str = "item"
    index_var: str = ""
    label: Any = None
    pause: Any = 0
    extended: Any = False
    extended_allitems: Any = True
    break_when: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Task:
    """One task or handler. `scope` is what surrounds it, without its own words; the rest includes both."""

    name: str
    action: str
    arguments: Mapping[str, Any]
    mark: Mark
    scope: Scope
    keywords: Mapping[str, Any]
    when: tuple[Any, ...]
    tags: frozenset[str]
    variables: Variables
    environment: tuple[Any, ...] = ()
    notify: tuple[Any, ...] = ()
    listen: tuple[str, ...] = ()
    register: str = ""
    loop: Loop | None = None
    loop_control: LoopControl = field(default_factory=LoopControl)
    until: tuple[Any, ...] = ()
    retries: Any = None
    delay: Any = 5
    changed_when: tuple[Any, ...] | None = None
    failed_when: tuple[Any, ...] | None = None
    # The keyword `args` given as a template: known only when the task runs.
    late_arguments: Any = None
    # The module as the playbook names it.
    word: str = ""
    # As in Scope, with the `vars` of this task if it is an include.
    given: Variables = field(default_factory=dict)

    @property
    def role(self) -> Role | None:
        """The role whose files and variables the task sees first."""
        return self.scope.role

    @property
    def title(self) -> str:
        """What the display shows: the name with its role, or the action."""
        name = self.name or self.word or self.action
        return f"{self.role.name} : {name}" if self.role else name


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """Tasks with what to do when one of them fails, and what to do in any case."""

    block: tuple[Node, ...]
    rescue: tuple[Node, ...] = ()
    always: tuple[Node, ...] = ()
    name: str = ""
    mark: Mark = _NOWHERE


Node = Task | Block


@dataclass(frozen=True, slots=True)
class Prompt:
    """One `vars_prompt` entry."""

    name: str
    text: str
    default: Any = None
    private: bool = True
    confirm: bool = False
    # The kind of hash that takes the place of the answer, and its salt or the length of a random one.
    encrypt: str = ""
    salt: str = ""
    salt_size: int = 16


@dataclass(frozen=True, slots=True, eq=False)
class Play:
    """One play, its sections in the order in which they run, handlers flushed after each."""

    name: str
    hosts: Any
    mark: Mark
    scope: Scope
    variables: Variables
    sections: tuple[tuple[Node, ...], ...]
    handlers: tuple[Task, ...]
    roles: tuple[Role, ...] = ()
    vars_files: tuple[Any, ...] = ()
    prompts: tuple[Prompt, ...] = ()
    gather_facts: Any = None
    # What is asked of the module that gathers facts.
    facts: Mapping[str, Any] = field(default_factory=dict)
    serial: tuple[Any, ...] = ()
    # "" is that of the configuration.
    strategy: str = ""
    max_fail_percentage: Any = None
    # What the play itself says of it; nothing leaves it to the command line and the configuration.
    force_handlers: bool | None = None
    order: str = "inventory"


@dataclass(frozen=True, slots=True)
class Playbook:
    """All plays of a file and of those it imports; `directory` is where the first file stands."""

    path: Path
    plays: tuple[Play, ...]

    @property
    def directory(self) -> Path:
        """`playbook_dir`."""
        return self.path.parent
