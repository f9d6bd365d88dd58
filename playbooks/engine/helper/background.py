"""Runs a module in a process of its own that outlives the helper and the connection: `async`.

What became of it stands in a file in the user's home until someone cleans it away, in the place and form of Ansible's,
so that a job which one engine began may be asked for by the other.

Invariant: the file is whole whenever it is there; it first says `started`, and last what the module gave or that the
time was up.
"""

from __future__ import annotations

import io
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
from typing import Any

from playbooks.engine.helper.call import Call
from playbooks.engine.helper.frames import Writer

_PROGRAM = (
    "import sys; sys.path.insert(0, sys.argv[1]); from playbooks.engine.helper import background; background.main()"
)


def directory() -> str:
    """Where the files of this user's jobs are."""
    return os.path.expanduser(os.environ.get("ANSIBLE_ASYNC_DIR") or "~/.ansible_async")


def start(request: dict[str, Any], limit: float) -> dict[str, Any]:
    """Begin a job that may take `limit` seconds; returns once it runs. Raises OSError."""
    os.makedirs(directory(), exist_ok=True)
    child = subprocess.Popen(
        [sys.executable, "-I", "-c", _PROGRAM, sys.path[0]],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        cwd="/",
    )
    job = f"j{random.SystemRandom().randrange(10**11, 10**12)}.{child.pid}"
    path = os.path.join(directory(), job)
    begun = {"started": True, "finished": False, "ansible_job_id": job}
    _write(path, begun)
    assert child.stdin is not None
    child.stdin.write(json.dumps({"path": path, "limit": limit, "request": request}).encode("ascii"))
    child.stdin.close()
    child.wait()
    return {**begun, "results_file": path, "changed": True}


def main() -> None:
    """The job's own process: read what to do, do it, write what came of it."""
    # Nobody's child, so that what ends the helper with all below it does not end the job.
    if os.fork():
        os._exit(0)
    from playbooks.engine.helper.serve import execute

    job = json.loads(sys.stdin.buffer.read().decode("ascii"))
    call = Call(0, job["request"], Writer(io.BytesIO()))
    one_end = threading.Lock()

    def end(result: dict[str, Any]) -> None:
        with one_end:
            _write(job["path"], result)
            os._exit(0)

    def too_late() -> None:
        call.cancel()
        end({"failed": True, "changed": False, "msg": "Timeout exceeded", "child_pid": os.getpid()})

    clock = threading.Timer(job["limit"], too_late)
    clock.daemon = True
    clock.start()
    end(execute(call))


def _write(path: str, value: dict[str, Any]) -> None:
    descriptor, partial = tempfile.mkstemp(dir=os.path.dirname(path), prefix=".partial-")
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(json.dumps(value, default=str).encode("ascii"))
    os.rename(partial, path)
