"""Which words each level of a playbook knows, and what to say about one it does not know.

Source: Ansible, "Playbook Keywords".
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from inventory.documents import Mark
from playbooks.errors import PlaybookError

# Nearest definition wins: a task's own, else its block's, its role's, its play's.
INHERITED = frozenset(
    (
        "any_errors_fatal", "become", "become_exe", "become_flags", "become_method", "become_user", "check_mode",
        "connection", "diff", "ignore_errors", "ignore_unreachable", "module_defaults", "no_log", "port",
        "remote_user", "run_once", "throttle", "timeout", "delegate_to", "delegate_facts",
    )
)  # fmt: skip
COMMON = INHERITED | {"name", "tags", "vars", "environment", "collections"}
BLOCK = COMMON | {"block", "rescue", "always", "when", "notify"}
LOOPS = frozenset(
    (
        "with_cartesian", "with_config", "with_csvfile", "with_dict", "with_env", "with_file", "with_fileglob",
        "with_first_found", "with_flattened", "with_indexed_items", "with_ini", "with_inventory_hostnames",
        "with_items", "with_lines", "with_list", "with_nested", "with_password", "with_pipe", "with_random_choice",
        "with_sequence", "with_subelements", "with_template", "with_together", "with_unvault", "with_url",
        "with_varnames", "with_vars",
    )
)  # fmt: skip
TASK = (
    COMMON
    | LOOPS
    | {
        "action", "args", "async", "changed_when", "delay", "failed_when", "local_action", "loop", "loop_control",
        "notify", "poll", "register", "retries", "until", "when",
    }
)  # fmt: skip
HANDLER = TASK | {"listen"}
# What an include does not say of itself, its tasks get by `apply`.
INCLUDE = LOOPS | {
    "action", "args", "collections", "ignore_errors", "listen", "loop", "loop_control", "name", "no_log", "register",
    "run_once", "tags", "timeout", "vars", "when",
}  # fmt: skip
PLAY = (COMMON - {"delegate_to", "delegate_facts"}) | {
    "fact_path", "force_handlers", "gather_facts", "gather_subset", "gather_timeout", "handlers", "hosts",
    "max_fail_percentage", "order", "post_tasks", "pre_tasks", "roles", "serial", "strategy", "tasks",
    "vars_files", "vars_prompt", "user",
}  # fmt: skip
# What a play says of the facts it begins with, in the words of `setup`.
FACTS = ("fact_path", "gather_subset", "gather_timeout")
IMPORT_PLAYBOOK = frozenset(("import_playbook", "ansible.builtin.import_playbook", "name", "tags", "vars", "when"))
ROLE_USE = COMMON | {"role", "when"}
META = (
    "clear_facts", "clear_host_errors", "end_batch", "end_host", "end_play", "end_role", "flush_handlers", "noop",
    "refresh_inventory", "reset_connection",
)  # fmt: skip
# What comes nearest to modules of Ansible's that are much used and not here.
INSTEAD = {
    "acl": "command", "at": "cron", "dnf5": "dnf", "firewalld": "iptables", "mount_facts": "setup", "patch": "command",
    "selinux": "command", "seboolean": "command", "synchronize": "copy", "sysvinit": "service", "ufw": "iptables",
}  # fmt: skip
_ANY_PROGRAM = "'command' runs any program, and docs/playbook-reference.md lists the modules there are"
_NO_HANDLERS = ("include_role", "import_role", "flush_handlers")
_NO_VARIABLES = ("true", "True", "false", "False", "none", "None", "not")
# Ends a role's tasks; no playbook can say it.
ROLE_COMPLETE = "role_complete"
# Nobody is asked during a run: what `debug` adds to `linear` is left out.
STRATEGIES = {"linear": "linear", "free": "free", "host_pinned": "free", "debug": "linear"}
LOOP_CONTROL = frozenset(("loop_var", "index_var", "label", "pause", "extended", "extended_allitems", "break_when"))


def is_variable(name: object) -> bool:
    """Whether a template can read a variable of this name."""
    return isinstance(name, str) and name.isidentifier() and name.isascii() and name not in _NO_VARIABLES


def check_handler(action: str, given: object, mark: Mark) -> None:
    """Raises PlaybookError for what would bring tasks or handlers of its own in the place of a handler."""
    what = "flush_handlers" if action == "meta" and "flush_handlers" in str(given) else action
    if what in _NO_HANDLERS:
        raise PlaybookError(f"{mark}: {what} cannot be a handler")


def loop(word: str) -> str:
    """The lookup of a `with_` loop, else ""; it may be named in full."""
    short = word.replace("with_ansible.builtin.", "with_", 1)
    return short.removeprefix("with_") if short in LOOPS else ""


def refuse(mark: Mark, what: str, word: str, known: Iterable[str]) -> PlaybookError:
    """The error for a word that `what` does not have, with the nearest one that it has."""
    known = sorted(known)
    close = difflib.get_close_matches(str(word), known, 1, 0.5)
    hint = f"did you mean {close[0]!r}?" if close else f"supported: {', '.join(known)}"
    return PlaybookError(f"{mark}: {what} {word!r} is not supported; {hint}")


def refuse_module(mark: Mark, word: str, known: Iterable[str]) -> PlaybookError:
    """The error for a word of a task that is none of its keywords and no module, with what to use instead."""
    collection, _, short = word.rpartition(".")
    ours = not collection or collection.startswith("ansible.")
    close = difflib.get_close_matches(short, sorted(known), 1, 0.6) if ours else []
    instead = INSTEAD.get(short)
    hint = f"use {instead!r}" if instead else f"did you mean {close[0]!r}?" if close else _ANY_PROGRAM
    return PlaybookError(f"{mark}: keyword or module {word!r} is not supported; {hint}")
