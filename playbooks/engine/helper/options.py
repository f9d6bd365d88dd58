"""What a module accepts: one table a module, read by the engine before a run and again with real values.

Invariant: pure. Messages are those of Ansible's argument specs.
"""

from __future__ import annotations

import json
import os
from typing import Any, Callable, Mapping, Sequence

TRUE = frozenset(("y", "yes", "on", "1", "true", "t", 1, 1.0, True))
FALSE = frozenset(("n", "no", "off", "0", "false", "f", 0, 0.0, False))


class OptionError(ValueError):
    """A value that the module does not accept; the text is the reason."""


class Option:
    """One parameter: its type, whether it must be given, its default, allowed values and other names."""

    def __init__(
        self,
        type: str = "str",
        *,
        required: bool = False,
        default: Any = None,
        choices: tuple[Any, ...] = (),
        aliases: tuple[str, ...] = (),
        elements: str = "",
        secret: bool = False,
        secret_if: str = "",
        doc: str = "",
    ) -> None:
        self.type = type
        self.required = required
        self.default = default
        self.choices = choices
        self.aliases = aliases
        self.elements = elements
        self.secret = secret
        # The parameter that says whether this one is secret.
        self.secret_if = secret_if
        self.doc = doc


Options = Mapping[str, Option]

FILE_OPTIONS = {
    "mode": Option("raw"),
    "owner": Option(),
    "group": Option(),
    "unsafe_writes": Option("bool", default=False),
    "attributes": Option(aliases=("attr",)),
    "selevel": Option(),
    "serole": Option(),
    "setype": Option(),
    "seuser": Option(),
}


def names(options: Options) -> dict[str, str]:
    """Every accepted name, aliases included, and the parameter it stands for."""
    accepted = {}
    for name, option in options.items():
        accepted[name] = name
        for alias in option.aliases:
            accepted[alias] = name
    return accepted


def resolve(
    module: str, options: Options, arguments: Mapping[str, Any], exclusive: Sequence[Sequence[str]] = ()
) -> dict[str, Any]:
    """All parameters under their own names, converted, defaults filled in. Raises OptionError.

    `exclusive` are groups of parameters of which at most one may be given.
    """
    accepted = names(options)
    unknown = [name for name in arguments if name not in accepted]
    if unknown:
        raise OptionError(
            "Unsupported parameters for ({}) module: {}. Supported parameters include: {}.".format(
                module, ", ".join(sorted(unknown)), ", ".join(sorted(options))
            )
        )
    given = {accepted[name]: value for name, value in arguments.items()}
    for group in exclusive:
        if sum(name in given for name in group) > 1:
            raise OptionError("parameters are mutually exclusive: " + "|".join(group))
    missing = [name for name, option in options.items() if option.required and given.get(name) is None]
    if missing:
        raise OptionError("missing required arguments: " + ", ".join(sorted(missing)))
    resolved = {}
    for name, option in options.items():
        value = given.get(name)
        resolved[name] = option.default if value is None else convert(name, option, value)
    return resolved


def convert(name: str, option: Option, value: Any) -> Any:
    """One value as its option's type. Raises OptionError."""
    converted = _converted(f"argument '{name}'", option.type, value)
    if option.type == "list" and option.elements:
        what = f"Elements value for option '{name}'"
        converted = [_converted(what, option.elements, item) for item in converted]
    if option.choices:
        converted = _chosen_word(option, converted)
        _refuse_other_choices(name, option, converted)
    return converted


def _converted(what: str, kind: str, value: Any) -> Any:
    try:
        return _CONVERTERS[kind](value)
    except (TypeError, ValueError) as error:
        found = type(value).__name__
        raise OptionError(f"{what} is of type {found} and we were unable to convert to {kind}: {error}") from error


def _chosen_word(option: Option, value: Any) -> Any:
    """The one choice that means the same as a truth value, which YAML makes of a `yes` or `no` without quotes."""
    if value not in ("True", "False") or value in option.choices:
        return value
    meant = [choice for choice in option.choices if choice in (TRUE if value == "True" else FALSE)]
    return meant[0] if len(meant) == 1 else value


def _refuse_other_choices(name: str, option: Option, value: Any) -> None:
    allowed = ", ".join(str(choice) for choice in option.choices)
    if isinstance(value, list):
        others = ", ".join(str(item) for item in value if item not in option.choices)
        if others:
            raise OptionError(f"value of {name} must be one or more of: {allowed}. Got no match for: {others}")
    elif value not in option.choices:
        raise OptionError(f"value of {name} must be one of: {allowed}, got: {value}")


def boolean(value: Any) -> bool:
    """Ansible's reading of truth. Raises ValueError."""
    if isinstance(value, bool):
        return value
    normal = value.lower().strip() if isinstance(value, str) else value
    if normal in TRUE:
        return True
    if normal in FALSE:
        return False
    raise ValueError(f"{value!r} is not a valid boolean")


def _text(value: Any) -> str:
    if isinstance(value, (dict, list)):
        return json.dumps(value)
    return str(value)


def _path(value: Any) -> str:
    return os.path.expanduser(os.path.expandvars(str(value)))


def _integer(value: Any) -> int:
    try:
        if isinstance(value, bool) or (isinstance(value, float) and value != int(value)):
            raise ValueError
        return int(value)
    except ValueError:
        raise ValueError(f'"{value!r}" cannot be converted to an int') from None


def _list(value: Any) -> list[Any]:
    if isinstance(value, (list, tuple)):
        return list(value)
    if isinstance(value, str):
        return [part.strip() for part in value.split(",")]
    if isinstance(value, (int, float)):
        return [str(value)]
    raise ValueError(f"{type(value).__name__} cannot be converted to a list")


def _mapping(value: Any) -> dict[str, Any]:
    if isinstance(value, dict):
        return value
    if isinstance(value, str):
        if value.strip().startswith("{"):
            parsed = json.loads(value)
            if isinstance(parsed, dict):
                return parsed
        pairs = [part.split("=", 1) for part in value.replace(",", " ").split()]
        if all(len(pair) == 2 for pair in pairs):
            return dict(pairs)
    raise ValueError("dictionary requested, could not parse JSON or key=value")


def size(value: Any) -> int:
    """Bytes from `10`, `4K`, `1.5 MB`. Raises ValueError."""
    text = str(value).strip().upper().rstrip("B").strip()
    factor = {"K": 10, "M": 20, "G": 30, "T": 40, "P": 50}.get(text[-1:], 0)
    return int(float(text[:-1] if factor else text) * (1 << factor))


def expanded(options: Options, parameters: Mapping[str, Any], expand: Callable[[str], str]) -> dict[str, Any]:
    """The parameters with those that are paths as the host writes them: homes and variables are its own."""
    found = dict(parameters)
    for name, option in options.items():
        if option.type == "path" and isinstance(found.get(name), str):
            found[name] = expand(found[name])
        elif option.elements == "path" and isinstance(found.get(name), list):
            found[name] = [expand(item) if isinstance(item, str) else item for item in found[name]]
    return found


_CONVERTERS: dict[str, Callable[[Any], Any]] = {
    "str": _text,
    "path": str,
    "expanded_path": _path,
    "bool": boolean,
    "int": _integer,
    "float": float,
    "list": _list,
    "dict": _mapping,
    "raw": lambda value: value,
    "bytes": size,
}
