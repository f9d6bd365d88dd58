"""Brings a file of the host here."""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from pathlib import Path

from playbooks.engine.actions.context import ActionCall, Result
from playbooks.engine.helper.options import Option
from playbooks.errors import TaskError
from playbooks.modules import _files

OPTIONS = {
    "src": Option(required=True),
    "dest": Option(required=True),
    "flat": Option("bool", default=False),
    "fail_on_missing": Option("bool", default=True),
    "validate_checksum": Option("bool", default=True),
}
SUPPORTS_CHECK = False
UNCHECKED = "check mode not (yet) supported for this module"


def run(call: ActionCall) -> Result:
    """Ansible's result of `fetch`: `dest` here, the checksums."""
    about = call.remote("_fetch", {"src": call["src"], "content": False})
    if about.get("failed"):
        return _missing(call, about)
    source, checksum = about["source"], about["checksum"]
    target = _target(call, source)
    if _digest(target, "sha1") == checksum:
        sums = {"checksum": checksum, "md5sum": _digest(target, "md5")}
        return {"changed": False, "file": source, "dest": str(target), **sums}
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=target.parent, prefix=".wherry-", delete=False) as sink:
        call.remote("_fetch", {"src": call["src"], "content": True}, sink=sink)
    fetched = Path(sink.name)
    arrived = _digest(fetched, "sha1")
    result: Result = {"dest": str(target), "checksum": arrived, "md5sum": _digest(fetched, "md5")}
    result.update(remote_checksum=checksum, remote_md5sum=None)
    if call["validate_checksum"] and arrived != checksum:
        fetched.unlink()
        raise TaskError("checksum mismatch", file=source, **result)
    fetched.chmod(_mode(call, target, about["mode"]))
    fetched.replace(target)
    return {**result, "changed": True}


def _mode(call: ActionCall, target: Path, there: int) -> int:
    """A file that is replaced keeps its mode; SSH brings that of the host's file, unless another user reads it."""
    if target.exists():
        return stat.S_IMODE(target.stat().st_mode)
    connection, become = call.connect()
    sent = connection.settings.kind == "ssh" and become is None
    return _files.usual_mode(there | 0o200 if sent else 0o666)


def _missing(call: ActionCall, about: Result) -> Result:
    """The result if there is no such file, which may be no failure."""
    missing, directory = about.pop("missing", False), about.pop("directory", False)
    if call["fail_on_missing"] or not (missing or directory):
        return {**about, "failed": True, "changed": False}
    if directory:
        return {"changed": False, "msg": f"{about['msg']}, not transferring, ignored"}
    return {"changed": False, "file": call["src"], "msg": about["msg"]}


def _target(call: ActionCall, source: str) -> Path:
    dest: str = call["dest"]
    base = Path(dest).expanduser()
    if not base.is_absolute():
        base = call.scope.services.loader.directory / base
    if not call["flat"]:
        return Path(os.path.normpath(f"{base}/{call.host}/{source}"))
    if base.is_dir() and not dest.endswith("/"):
        reason = "use a trailing slash if you want to fetch src into that directory"
        raise TaskError(f"dest is an existing directory, {reason}")
    target = base / Path(source).name if dest.endswith("/") else base
    if target.is_dir():
        raise TaskError(f"calculated dest '{target}' is an existing directory, use another path that does not exist")
    return target


def _digest(path: Path, algorithm: str) -> str:
    if not path.is_file():
        return ""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, algorithm).hexdigest()
