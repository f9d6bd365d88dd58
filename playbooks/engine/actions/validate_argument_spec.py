"""Checks arguments against a specification, as a role's meta/argument_specs.yml gives it.

Invariant: changes nothing. Messages are those of Ansible's argument specs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from jinja2.utils import missing

from playbooks.engine.actions.context import ActionCall, Result
from playbooks.engine.helper.options import Option, OptionError, convert

OPTIONS = {
    "argument_spec": Option("dict", required=True, doc="each argument's type, whether it is required, and so on"),
    "provided_arguments": Option("dict", default={}, doc="arguments; those not here are variables"),
    "validate_args_context": Option("dict", default={}, doc="whose arguments these are"),
}
_TYPES = {"path": "path", "bits": "bytes", "bytes": "bytes", "json": "str", "jsonarg": "str"}


def run(call: ActionCall) -> Result:
    """What is wrong with the arguments, as `argument_errors`."""
    specification = call["argument_spec"]
    given = {name: value for name in specification if (value := call.scope.variable(name)) is not missing}
    errors = list(problems(specification, {**given, **call["provided_arguments"]}))
    context = {"validate_args_context": call["validate_args_context"], "changed": False}
    if not errors:
        return {**context, "msg": "The arg spec validation passed"}
    return {
        **context,
        "failed": True,
        "msg": "Validation of arguments failed:\n" + "\n".join(errors),
        "argument_spec_data": specification,
        "argument_errors": errors,
    }


def problems(specification: Mapping[str, Any], given: Mapping[str, Any], inside: str = "") -> Iterator[str]:
    """Every reason why the arguments do not fit, in the order in which Ansible finds them."""
    where = f" found in {inside}" if inside else ""
    lacking = sorted(
        name
        for name, about in specification.items()
        if about.get("required") and name not in given and not _by_alias(about, given)
    )
    if lacking:
        yield f"missing required arguments: {', '.join(lacking)}{where}"
    if inside:
        known = {*specification, *(alias for about in specification.values() for alias in about.get("aliases") or ())}
        strangers = sorted(set(given) - known)
        if strangers:
            yield f"{', '.join(strangers)}. Supported parameters include: {', '.join(sorted(known))}."
    present = {name: about for name, about in specification.items() if given.get(name) is not None}
    converted: dict[str, Any] = {}
    for name, about in present.items():
        try:
            converted[name] = _converted(name, about, given[name])
        except OptionError as error:
            yield f"{error}{where}"
    for name, value in converted.items():
        yield from _of_value(name, present[name], value, inside)


def _by_alias(about: Mapping[str, Any], given: Mapping[str, Any]) -> bool:
    return any(alias in given for alias in about.get("aliases") or ())


def _converted(name: str, about: Mapping[str, Any], value: Any) -> Any:
    kind, elements = str(about.get("type", "str")), str(about.get("elements") or "")
    return convert(name, Option(_TYPES.get(kind, kind), elements=_TYPES.get(elements, elements)), value)


def _of_value(name: str, about: Mapping[str, Any], value: Any, inside: str) -> Iterator[str]:
    """What is wrong with a value of the right type."""
    items = value if isinstance(value, list) else [value]
    choices = about.get("choices")
    wrong = [item for item in items if choices and item not in choices]
    if wrong:
        which = "one or more of" if isinstance(value, list) else "one of"
        allowed, found = ", ".join(map(str, choices or ())), ", ".join(map(str, wrong))
        yield f"value of {name} must be {which}: {allowed}, got: {found}" + (f" found in {inside}" if inside else "")
    if about.get("options"):
        path = f"{inside} -> {name}" if inside else name
        for item in items:
            if isinstance(item, Mapping):
                yield from problems(about["options"], item, path)
