"""`invocation`: what a result tells of the parameters that its module ran with.

Invariant: pure. Of a secret it tells only that it was given.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from playbooks.engine.helper import secrets
from playbooks.engine.helper.options import Options, names

# What is done on this machine alone has no module that would tell of itself.
_UNTOLD = frozenset(
    (
        "add_host", "assert", "debug", "fail", "fetch", "group_by", "include_vars", "pause", "raw", "reboot", "script",
        "set_fact", "set_stats", "validate_argument_spec", "wait_for_connection",
    )
)  # fmt: skip


def of(module: str, options: Options, given: Mapping[str, Any], resolved: Mapping[str, Any] | None) -> dict[str, Any]:
    """`invocation` of a module with the parameters that were given, and what came of them if they were accepted."""
    if module in _UNTOLD:
        return {}
    accepted = names(options)
    told = {name: option.default for name, option in options.items()}
    told.update({name: value for name, value in given.items() if name not in accepted})
    told.update({accepted[name]: value for name, value in given.items() if name in accepted})
    if resolved is not None:
        told.update({name: resolved[name] for name in options if name in resolved})
    # A parameter given by another name has both.
    told.update({name: told[accepted[name]] for name in given if name in accepted and name != "_raw_params"})
    if module in ("command", "shell"):
        told.update(_raw_params=told["cmd"], cmd=None)
        told["_uses_shell"] = module == "shell"
    told = {name: list(value) if isinstance(value, tuple) else value for name, value in told.items()}
    secret = {name for name, option in options.items() if option.secret or told.get(option.secret_if)}
    hidden = {name for name in told if accepted.get(name) in secret and told[name] is not None}
    # A file's content is no word by which others would give it away: its path may have the same letters.
    shown = told if module == "copy" else secrets.without(told, secrets.of(options, told))
    return {"invocation": {"module_args": {**shown, **dict.fromkeys(hidden, secrets.HIDDEN)}}}
