"""The lookup `config`: what ansible.cfg and the environment set, by the names that ansible-core gives its settings.

Invariant: a setting that stands here is one that Wherry keeps to, or has this one value for.
Source: Ansible, lookup config and "Configuration Settings".
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from playbooks import configuration
from playbooks.configuration import Configuration
from playbooks.engine.evaluation.evaluator import Evaluator
from playbooks.errors import PlaybookError, TemplateError

_MISSING = ("error", "skip", "warn")
_OPTIONS = ("on_missing", "plugin_type", "plugin_name", "show_origin")
_SETTINGS: dict[str, Callable[[Configuration], Any]] = {
    "ALLOW_BROKEN_CONDITIONALS": lambda found: False,
    "DEFAULT_BECOME": lambda found: found.become,
    "DEFAULT_BECOME_EXE": lambda found: found.variables.get("ansible_become_exe"),
    "DEFAULT_BECOME_FLAGS": lambda found: found.variables.get("ansible_become_flags", ""),
    "DEFAULT_BECOME_METHOD": lambda found: found.variables.get("ansible_become_method", "sudo"),
    "DEFAULT_BECOME_USER": lambda found: found.become_user or "root",
    "DEFAULT_FORCE_HANDLERS": lambda found: found.force_handlers,
    "DEFAULT_FORKS": lambda found: found.forks or configuration.FORKS,
    "DEFAULT_GATHERING": lambda found: found.gathering,
    "DEFAULT_HASH_BEHAVIOUR": lambda found: "replace",
    "DEFAULT_HOST_LIST": lambda found: list(found.inventory),
    "DEFAULT_LOG_PATH": lambda found: found.log_path or None,
    "DEFAULT_NO_LOG": lambda found: found.no_log,
    "DEFAULT_PRIVATE_KEY_FILE": lambda found: found.private_key_file or None,
    "DEFAULT_REMOTE_PORT": lambda found: int(found.variables.get("ansible_port", 0)) or None,
    "DEFAULT_REMOTE_USER": lambda found: found.remote_user or None,
    "DEFAULT_ROLES_PATH": lambda found: list(found.roles_path),
    "DEFAULT_STRATEGY": lambda found: found.strategy,
    "DEFAULT_TIMEOUT": lambda found: found.timeout or configuration.TIMEOUT,
    "DEFAULT_TRANSPORT": lambda found: "ssh",
    "DIFF_ALWAYS": lambda found: found.diff,
    "ERROR_ON_MISSING_HANDLER": lambda found: True,
    "HOST_KEY_CHECKING": lambda found: found.host_key_checking,
    "INTERPRETER_PYTHON": lambda found: found.variables.get("ansible_python_interpreter", "auto"),
    "RETRY_FILES_ENABLED": lambda found: False,
}


def _config(terms: list[Any], options: Mapping[str, Any], scope: Evaluator) -> list[Any]:
    unknown = next((option for option in options if option not in _OPTIONS), None)
    if unknown:
        raise TemplateError(f"lookup config: no option {unknown!r}; there are {', '.join(_OPTIONS)}")
    missing = options.get("on_missing", "error")
    if missing not in _MISSING:
        raise TemplateError(f"lookup config: on_missing is {missing!r}; it is one of {', '.join(_MISSING)}")
    for option in ("plugin_type", "plugin_name", "show_origin"):
        if options.get(option):
            raise TemplateError(f"lookup config: Wherry has no {option}; it knows {', '.join(sorted(_SETTINGS))}")
    try:
        found = configuration.load(os.environ, Path.cwd())
    except PlaybookError as error:
        raise TemplateError(str(error)) from error
    values = []
    for term in terms:
        if not isinstance(term, str):
            raise TemplateError(f"lookup config: {term!r} is no name of a setting but {type(term).__name__!r}")
        if term in _SETTINGS:
            values.append(_SETTINGS[term](found))
        elif missing == "error":
            raise TemplateError(f"lookup config: no setting {term!r}; Wherry knows {', '.join(sorted(_SETTINGS))}")
    return values


CONFIG = {"config": _config}
