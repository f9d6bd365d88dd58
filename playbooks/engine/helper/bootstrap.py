"""Runs on the host as `python3 -c TEXT HASH`: finds the helper of that hash, or takes it from standard input.

Says `wherry-need` when the archive is not in the user's cache; the engine then writes its length as eight hex digits
and its bytes. The archive is kept as a directory so that its compiled form is kept too.
"""

import hashlib
import io
import os
import shutil
import sys
import tempfile
import zipfile


def place(name: str) -> str:
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return os.path.join(base, "wherry", "helper-" + name)


def usable(path: str) -> bool:
    try:
        status = os.lstat(path)
    except OSError:
        return False
    return status.st_uid == os.geteuid() and not status.st_mode & 0o022


def receive(name: str) -> str:
    os.write(1, b"wherry-need\n")
    length = int(sys.stdin.buffer.read(8), 16)
    data = sys.stdin.buffer.read(length)
    if hashlib.sha256(data).hexdigest()[:16] != name:
        sys.exit("wherry: the helper arrived damaged")
    path = place(name)
    os.umask(0o022)
    try:
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        fresh = tempfile.mkdtemp(dir=os.path.dirname(path))
    except OSError:
        fresh = path = tempfile.mkdtemp(prefix="wherry-helper-")
    zipfile.ZipFile(io.BytesIO(data)).extractall(fresh)
    if fresh != path:
        try:
            os.rename(fresh, path)
        except OSError:
            shutil.rmtree(fresh)
    return path


if sys.version_info < (3, 8):
    sys.exit("wherry: needs Python 3.8 or newer, this is {}.{}".format(*sys.version_info[:2]))
found = place(sys.argv[1])
sys.path.insert(0, found if usable(found) else receive(sys.argv[1]))
from playbooks.engine.helper import serve  # noqa: E402

serve.main()
