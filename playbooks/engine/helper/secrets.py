"""Keeps what parameters hide out of what is told: a password also where a tool or a server repeats it.

Invariant: pure. Only values are looked through, never names; true, false and nothing tell no secret.
"""

from __future__ import annotations

from typing import Any, Mapping, Sequence

from playbooks.engine.helper.options import Options

HIDDEN = "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER"
_PART = "*" * 8


def of(options: Options, parameters: Mapping[str, Any]) -> list[str]:
    """The texts that these parameters hide, longest first, so that one within another leaves nothing of it."""
    hidden = (name for name, option in options.items() if option.secret or parameters.get(option.secret_if))
    return sorted({text for name in hidden for text in _texts(parameters.get(name))}, key=len, reverse=True)


def _texts(value: Any) -> list[str]:
    if isinstance(value, Mapping):
        return [text for item in value.values() for text in _texts(item)]
    if isinstance(value, (list, tuple)):
        return [text for item in value for text in _texts(item)]
    return [] if value is None or isinstance(value, bool) or value == "" else [str(value)]


def without(value: Any, secrets: Sequence[str]) -> Any:
    """The value with the secrets replaced wherever they are."""
    if not secrets or value is None or isinstance(value, bool):
        return value
    if isinstance(value, Mapping):
        return {name: without(item, secrets) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [without(item, secrets) for item in value]
    if isinstance(value, (int, float)):
        return HIDDEN if any(secret in str(value) for secret in secrets) else value
    if value in secrets:
        return HIDDEN
    for secret in secrets:
        value = value.replace(secret, _PART)
    return value
