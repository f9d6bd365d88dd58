"""The near half of `uri`: what it sends may be files of this machine, which travel with the task."""

from __future__ import annotations

import base64
from typing import Any

from playbooks.engine.actions.context import ActionCall
from playbooks.errors import PlaybookError, TaskError


def prepare(call: ActionCall) -> dict[str, Any]:
    """The parameters, with the bytes of files that are here. Raises TaskError."""
    parameters = call.parameters
    if parameters["remote_src"]:
        return parameters
    if parameters["src"]:
        return {**parameters, "data": _read(call, parameters["src"])}
    if parameters["body_format"] == "form-multipart":
        body = parameters["body"]
        if not isinstance(body, dict):
            raise TaskError(f"body must be mapping, cannot be type {type(body).__name__}")
        return {**parameters, "body": {name: _field(call, value) for name, value in body.items()}}
    return parameters


def _field(call: ActionCall, value: Any) -> Any:
    if not isinstance(value, dict) or value.get("content") or not value.get("filename"):
        return value
    return {**value, "data": _read(call, value["filename"])}


def _read(call: ActionCall, name: str) -> str:
    try:
        return base64.b64encode(call.find("files", name).read_bytes()).decode("ascii")
    except PlaybookError as error:
        raise TaskError(str(error)) from error
