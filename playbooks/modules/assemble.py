"""Makes a file of the fragments in a directory, in the order of their names."""

from __future__ import annotations

import codecs
import hashlib
import os
import re
import tempfile
from typing import Any

from playbooks.engine.helper.call import Call, Failure
from playbooks.engine.helper.options import FILE_OPTIONS, Option
from playbooks.modules import _attributes, _files

OPTIONS = {
    "src": Option("expanded_path", required=True),
    "dest": Option("expanded_path", required=True),
    "delimiter": Option(),
    "regexp": Option(),
    "ignore_hidden": Option("bool", default=False),
    "backup": Option("bool", default=False),
    "validate": Option(),
    "remote_src": Option("bool", default=True),
    "decrypt": Option("bool", default=True),
    **FILE_OPTIONS,
}


def run(call: Call) -> dict[str, Any]:
    """Ansible's result of `assemble`."""
    src, dest = call["src"], call["dest"]
    if not os.path.isdir(src):
        raise Failure(f"Source ({src}) {'is not a directory' if os.path.exists(src) else 'does not exist'}")
    data = joined(src, call["delimiter"], call["regexp"], call["ignore_hidden"])
    result: dict[str, Any] = {"src": src, "dest": dest, "changed": False, "msg": "OK"}
    result.update(checksum=hashlib.sha1(data).hexdigest(), md5sum=hashlib.md5(data).hexdigest())
    if not os.path.exists(dest) or _files.read(dest) != data:
        result["changed"] = True
        if call["validate"]:
            result["validation"] = _accepted(call, data)
        if not call.check:
            if call["backup"] and os.path.exists(dest):
                result["backup_file"] = _files.backup(dest)
            _files.write(call, dest, data)
    if os.path.exists(dest):
        result["changed"] = _attributes.apply(call, dest) or result["changed"]
    return result


def _accepted(call: Call, data: bytes) -> dict[str, Any]:
    """What the program says that is to accept the whole. Raises Failure if it does not."""
    with tempfile.NamedTemporaryFile(prefix="wherry-assembled-") as whole:
        whole.write(data)
        whole.flush()
        if "%s" not in call["validate"]:
            raise Failure(f"validate must contain %s: {call['validate']}")
        done = call.run(call["validate"].replace("%s", whole.name))
    if done.status != 0:
        raise Failure(f"failed to validate: rc:{done.status} error:{done.err}")
    return {"rc": 0, "stdout": done.out, "stderr": done.err}


def joined(directory: str, delimiter: str | None, regexp: str | None, ignore_hidden: bool) -> bytes:
    """The fragments of a directory as one text, each ending its line. Raises Failure."""
    try:
        pattern = re.compile(regexp or "")
    except re.error as error:
        raise Failure(f'Invalid Regexp ({error}) in "{regexp}"') from error
    between = codecs.escape_decode(delimiter.encode())[0] if delimiter else b""
    if between and not between.endswith(b"\n"):
        between += b"\n"
    whole = b""
    for name in sorted(os.listdir(directory)):
        path = os.path.join(directory, name)
        if not pattern.search(name) or not os.path.isfile(path) or (ignore_hidden and name.startswith(".")):
            continue
        if whole:
            whole += (b"" if whole.endswith(b"\n") else b"\n") + between
        whole += _files.read(path)
    return whole
