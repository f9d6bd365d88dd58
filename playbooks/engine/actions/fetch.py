"""Brings a file of the host here."""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path

from playbooks.engine.actions.context import ActionCall, Result
from playbooks.engine.helper.options import Option
from playbooks.errors import TaskError

OPTIONS = {
    "src": Option(required=True),
    "dest": Option(required=True),
    "flat": Option("bool", default=False),
    "fail_on_missing": Option("bool", default=True),
    "validate_checksum": Option("bool", default=True),
}


def run(call: ActionCall) -> Result:
    """Ansible's result of `fetch`: `dest` here, the checksums."""
    target = _target(call)
    about = call.remote("_fetch", {"src": call["src"], "content": False}, check=False)
    if about.get("failed"):
        missing = about.pop("missing", False)
        if missing and not call["fail_on_missing"]:
            message = f"{about['msg']}, not transferring, ignored"
            return {**about, "failed": False, "changed": False, "file": call["src"], "msg": message}
        return {**about, "failed": True, "changed": False, "file": call["src"]}
    checksum = about["checksum"]
    here = _checksum(target)
    result: Result = {
        "dest": str(target),
        "checksum": checksum,
        "remote_checksum": checksum,
        "md5sum": None,
        "remote_md5sum": None,
    }
    if here == checksum:
        return {**result, "changed": False, "file": call["src"]}
    if not call.check:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=target.parent, prefix=".wherry-", delete=False) as sink:
            call.remote("_fetch", {"src": call["src"], "content": True}, sink=sink)
        arrived = _checksum(Path(sink.name))
        if call["validate_checksum"] and arrived != checksum:
            Path(sink.name).unlink()
            raise TaskError("the file changed while it was fetched", checksum=arrived, remote_checksum=checksum)
        Path(sink.name).chmod(0o644)
        Path(sink.name).replace(target)
    return {**result, "changed": True}


def _target(call: ActionCall) -> Path:
    dest: str = call["dest"]
    base = Path(dest).expanduser()
    if not base.is_absolute():
        base = call.scope.services.loader.directory / base
    if not call["flat"]:
        return base / call.host / str(call["src"]).lstrip("/")
    return base / Path(call["src"]).name if dest.endswith("/") else base


def _checksum(path: Path) -> str:
    if not path.is_file():
        return ""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha1").hexdigest()
