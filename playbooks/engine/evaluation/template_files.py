"""Renders a template file with what Ansible's template module offers it.

A first line `#jinja2: trim_blocks: False, …` sets Jinja2's options for the file.
"""

from __future__ import annotations

import pwd
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml

from playbooks.engine.evaluation.evaluator import Evaluator
from playbooks.engine.evaluation.namespace import Layer
from playbooks.errors import TemplateError

_HEADER = "#jinja2:"
_OPTIONS = (
    "block_start_string", "block_end_string", "variable_start_string", "variable_end_string",
    "comment_start_string", "comment_end_string", "trim_blocks", "lstrip_blocks", "newline_sequence",
)  # fmt: skip


def render(scope: Evaluator, name: str, variables: Mapping[str, Any], given: Mapping[str, Any]) -> str:
    """The text of a template found by name. Raises TemplateError, PlaybookError."""
    path: Path = scope.services.find("templates", name)
    source = scope.services.read(path)
    options = {"trim_blocks": True, **{key: given[key] for key in _OPTIONS if given.get(key) is not None}}
    if source.startswith(_HEADER):
        header, _, source = source.partition("\n")
        options.update(_header(header, path))
    places = [str(path.parent), *(str(place / "templates") for place in scope.services.places)]
    inner = scope.over(Layer({**_about(name, path), **variables}, final=True))
    try:
        return inner.render_file(source, places, options, str(path))
    except TemplateError as error:
        raise TemplateError(f"template {path}: {error}") from error


def _header(line: str, path: Path) -> dict[str, Any]:
    try:
        pairs = [part.split(":", 1) for part in line[len(_HEADER) :].split(",") if part.strip()]
        return {key.strip(): yaml.safe_load(value) for key, value in pairs}
    except (ValueError, yaml.YAMLError) as error:
        raise TemplateError(f"{path}:1: cannot read the options in {line!r}") from error


def _user(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


def _about(name: str, path: Path) -> dict[str, Any]:
    status = path.stat()
    return {
        "template_host": "localhost",
        "template_path": name,
        "template_fullpath": str(path.absolute()),
        "template_uid": _user(status.st_uid),
        "template_mtime": datetime.fromtimestamp(status.st_mtime),
        "template_run_date": datetime.now(),
        "ansible_managed": "Ansible managed",
    }
