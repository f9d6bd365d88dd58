"""The far half of `fetch`: says what the file is, and streams it."""

from __future__ import annotations

import os
from typing import Any

from playbooks.engine.helper.call import Call, Failure
from playbooks.engine.helper.options import Option
from playbooks.modules._files import digest

OPTIONS = {"src": Option("path")}


def run(call: Call) -> dict[str, Any]:
    """The checksum; with `content` the bytes go first."""
    path = call["src"]
    if not os.path.exists(path):
        raise Failure("the remote file does not exist, not transferring, ignored", missing=True)
    if os.path.isdir(path):
        raise Failure("remote file is a directory, fetch cannot work on directories", directory=True)
    if call["content"]:
        with open(path, "rb") as stream:
            call.send(stream)
    status = os.stat(path)
    return {"checksum": digest(path), "size": status.st_size, "mode": status.st_mode & 0o777, "source": path}
