"""The near half of `unarchive`: finds the archive here; its bytes travel only if the host needs them."""

from __future__ import annotations

import hashlib

from playbooks.engine.actions.context import ActionCall, Result
from playbooks.errors import PlaybookError, TaskError


def run(call: ActionCall) -> Result:
    """Ansible's result of `unarchive`."""
    if call["remote_src"]:
        return call.remote("unarchive", call.parameters)
    if "://" in call["src"]:
        # It may hold a password: it is not repeated.
        raise TaskError("src is an address; say `remote_src: true` to have the host download it")
    try:
        path = call.find("files", call["src"])
    except PlaybookError as error:
        raise TaskError(str(error)) from error
    with path.open("rb") as stream:
        checksum = hashlib.file_digest(stream, "sha1").hexdigest()
        stream.seek(0)
        parameters = {**call.parameters, "checksum": checksum, "name": path.name}
        return call.remote("unarchive", parameters, source=stream)
