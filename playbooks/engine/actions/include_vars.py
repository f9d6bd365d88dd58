"""Reads variables from files of this machine."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from inventory import vault
from inventory.documents import read_text, unsafe
from playbooks.engine.actions.context import ActionCall, Result
from playbooks.engine.evaluation.filters_collections import combine
from playbooks.engine.helper.options import Option
from playbooks.errors import PlaybookError, TaskError

OPTIONS = {
    "file": Option("path", aliases=("_raw_params",)),
    "dir": Option("path"),
    "name": Option(),
    "depth": Option("int", default=0),
    "files_matching": Option(),
    "ignore_files": Option("list", default=()),
    "extensions": Option("list", default=("yaml", "yml", "json")),
    "ignore_unknown_extensions": Option("bool", default=False),
    "hash_behaviour": Option(choices=("replace", "merge")),
}
FREE_FORM = "file"


def run(call: ActionCall) -> Result:
    """The variables as `ansible_facts`, and the files as `ansible_included_var_files`."""
    if call["dir"] and call["file"]:
        raise TaskError("file and dir are both given; the variables come from one of them")
    try:
        paths = _directory(call) if call["dir"] else [call.find("vars", str(call["file"]))]
        merge = call["hash_behaviour"] == "merge"
        variables: dict[str, Any] = {}
        for path in paths:
            variables.update(call.scope.services.loader.variables(path))
    except PlaybookError as error:
        raise TaskError(str(error), ansible_facts={}, ansible_included_var_files=[]) from error
    facts = {call["name"]: variables} if call["name"] else variables
    if merge:
        # As they were written, templates and all; in what is final, a host may have said what looks like a template.
        found = {name: known for name in facts if (known := call.scope.namespace.find(name))}
        before = {name: unsafe(known.value) if known.final else known.value for name, known in found.items()}
        facts = combine(before, facts, recursive=True)
    return {
        "ansible_facts": facts,
        "ansible_included_var_files": [str(path) for path in paths],
        "changed": False,
        "_hidden": any(vault.is_encrypted(read_text(path)) for path in paths),
    }


def _directory(call: ActionCall) -> list[Path]:
    base = call.find("vars", call["dir"])
    pattern = re.compile(call["files_matching"] or "")
    found = []
    for path in sorted(base.rglob("*")):
        depth = len(path.relative_to(base).parts)
        if not path.is_file() or (call["depth"] and depth > call["depth"]) or not pattern.search(path.name):
            continue
        if any(re.search(ignored, path.name) for ignored in call["ignore_files"]):
            continue
        if path.suffix.lstrip(".") in call["extensions"]:
            found.append(path)
        elif not call["ignore_unknown_extensions"]:
            raise TaskError(f"{path} does not have a valid extension: {', '.join(call['extensions'])}")
    return found
