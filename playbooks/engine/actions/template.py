"""Renders a template here and makes a file on the host have its text."""

from __future__ import annotations

from playbooks.engine.actions.context import ActionCall, Result
from playbooks.engine.actions.copy import send
from playbooks.engine.evaluation import template_files
from playbooks.engine.helper.options import FILE_OPTIONS, Option
from playbooks.errors import PlaybookError, TaskError
from playbooks.modules.copy import OPTIONS as COPY_OPTIONS

OPTIONS = {
    "src": Option("path", required=True),
    "dest": Option("path", required=True),
    "backup": Option("bool", default=False),
    "force": Option("bool", default=True),
    "follow": Option("bool", default=False),
    "validate": Option(),
    "newline_sequence": Option(default="\n", choices=("\n", "\r", "\r\n", "\\n", "\\r", "\\r\\n")),
    "trim_blocks": Option("bool", default=True),
    "lstrip_blocks": Option("bool", default=False),
    "variable_start_string": Option(),
    "variable_end_string": Option(),
    "block_start_string": Option(),
    "block_end_string": Option(),
    "comment_start_string": Option(),
    "comment_end_string": Option(),
    "output_encoding": Option(default="utf-8"),
    **FILE_OPTIONS,
}


def run(call: ActionCall) -> Result:
    """Ansible's result of `template`."""
    given = dict(call.parameters)
    given["newline_sequence"] = given["newline_sequence"].replace("\\n", "\n").replace("\\r", "\r")
    try:
        text = template_files.render(call.scope, call["src"], {"template_destpath": call["dest"]}, given)
        path = call.find("templates", call["src"])
    except PlaybookError as error:
        raise TaskError(str(error)) from error
    parameters = {name: option.default for name, option in COPY_OPTIONS.items()}
    parameters.update({key: value for key, value in call.parameters.items() if key in COPY_OPTIONS})
    parameters.update(src=str(path), original_basename=path.name)
    if parameters["mode"] == "preserve":
        parameters["mode"] = f"0{path.stat().st_mode & 0o7777:03o}"
    return send(call, text.encode(call["output_encoding"], "surrogateescape"), parameters)
