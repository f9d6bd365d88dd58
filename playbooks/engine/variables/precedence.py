"""The order in which variables override each other.

Source: Ansible, "Understanding variable precedence", and what ansible-core does: the vars of an include override
registered values and set_fact, those include_vars, those the task's own vars, those the role's, those the play's.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from playbooks.engine.evaluation.namespace import Layer, Namespace
from playbooks.engine.language.values import Role, Task

_NONE: Mapping[str, Any] = {}
_REACHED_BY = re.compile(
    "ansible_(connection|host|port|user|password|timeout|private_key_file|host_key_checking|become|delegated_vars"
    "|(become|ssh)_.*|.*_interpreter)"
)
_HOST_KEY = re.compile("ansible_ssh_host_key_.*_public")


@dataclass(slots=True)
class HostVariables:
    """What became known about one host while running."""

    facts: dict[str, Any] = field(default_factory=dict)
    included: dict[str, Any] = field(default_factory=dict)
    set: dict[str, Any] = field(default_factory=dict)
    # The names in `set` whose values come from a host: results, and what was made of them.
    told: dict[str, None] = field(default_factory=dict)

    def fact_layer(self) -> dict[str, Any]:
        """Facts by their own names, and all under `ansible_facts` without the prefix."""
        namespaced = {name.removeprefix("ansible_"): value for name, value in self.facts.items()}
        return {**self.facts, "ansible_facts": namespaced}


def of_host(facts: Mapping[str, Any]) -> dict[str, Any]:
    """The facts that a host may tell: how it is reached is not for it to say, or it could have tasks run here."""
    return {name: value for name, value in facts.items() if _HOST_KEY.match(name) or not _REACHED_BY.fullmatch(name)}


@dataclass(frozen=True, slots=True)
class PlayVariables:
    """What one play says: its vars, prompts and files."""

    variables: Mapping[str, Any] = field(default_factory=dict)
    prompted: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, Any] = field(default_factory=dict)
    roles: tuple[Role, ...] = ()


def namespace(
    *,
    magic: Mapping[str, Any],
    extra: Mapping[str, Any],
    host: HostVariables,
    facts: Mapping[str, Any],
    inventory: Mapping[str, Any],
    play: PlayVariables,
    task: Task | None = None,
    implied: Mapping[str, Any] = _NONE,
) -> Namespace:
    """All layers for one host, and one task if given, the strongest first."""
    role = task.role if task else None
    # The one name of Ansible's own whose value may hold templates.
    environment = (Layer({"environment": list(task.environment)}),) if task and task.environment else ()
    return Namespace(
        *environment,
        Layer(magic, final=True),
        Layer(extra),
        Layer(task.given if task else _NONE),
        Layer(role.parameters if role else _NONE),
        Layer(host.set, final=True, told=host.told),
        Layer(host.included),
        Layer(task.variables if task else _NONE),
        Layer(role.given if role else _NONE),
        Layer(role.variables if role else _NONE),
        *(Layer(other.variables) for other in _others(play.roles, role)),
        Layer(play.files),
        Layer(play.prompted, final=True),
        Layer(play.variables),
        Layer(facts, final=True, told=True),
        Layer(inventory),
        Layer(role.defaults if role else _NONE),
        *(Layer(other.defaults) for other in _others(play.roles, role)),
        Layer(implied, final=True),
    )


def _others(roles: Iterable[Role], own: Role | None) -> list[Role]:
    """The play's other roles that say anything, the last one strongest."""
    return [role for role in reversed(tuple(roles)) if role is not own and (role.variables or role.defaults)]
