"""Gives a file's content in base64."""

from __future__ import annotations

import base64
import os
from typing import Any

from playbooks.engine.helper.call import Call, Failure
from playbooks.engine.helper.options import Option

OPTIONS = {"src": Option("path", required=True, aliases=("path",))}


def run(call: Call) -> dict[str, Any]:
    """`content`, `encoding`, `source`."""
    path = call["src"]
    if os.path.isdir(path):
        raise Failure(f"Source is a directory and must be a file: {path}")
    try:
        with open(path, "rb") as stream:
            content = stream.read()
    except FileNotFoundError as error:
        raise Failure(f"File not found: {path}") from error
    except PermissionError as error:
        raise Failure(f"File is not readable: {path}") from error
    return {"content": base64.b64encode(content).decode(), "encoding": "base64", "source": path}
