"""The near half of `assemble`: with `remote_src: false`, the fragments are in a directory of this machine."""

from __future__ import annotations

from playbooks.engine.actions.context import ActionCall, Result
from playbooks.engine.actions.copy import send
from playbooks.engine.helper.call import Failure
from playbooks.errors import PlaybookError, TaskError
from playbooks.modules import assemble
from playbooks.modules.copy import OPTIONS as COPY_OPTIONS


def run(call: ActionCall) -> Result:
    """Ansible's result of `assemble`."""
    if call["remote_src"]:
        return call.remote("assemble", call.parameters)
    try:
        directory = call.find("files", call["src"])
        if not directory.is_dir():
            raise TaskError(f"Source ({directory}) is not a directory")
        data = assemble.joined(str(directory), call["delimiter"], call["regexp"], call["ignore_hidden"])
    except (PlaybookError, Failure) as error:
        raise TaskError(str(error)) from error
    parameters = {name: option.default for name, option in COPY_OPTIONS.items()}
    parameters.update({key: value for key, value in call.parameters.items() if key in COPY_OPTIONS})
    return send(call, data, {**parameters, "src": str(directory), "original_basename": directory.name})
