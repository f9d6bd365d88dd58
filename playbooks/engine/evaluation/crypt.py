"""Password hashes of the system's own libcrypt: what the users' shadow entries on the hosts will be checked with."""

from __future__ import annotations

import ctypes
import ctypes.util
import threading

from playbooks.errors import TemplateError

BCRYPT = ("bcrypt", "blowfish")
_PREFIXES = {"md5": "$1$", "sha256": "$5$", "sha512": "$6$"}
# What a hash says nothing of, libcrypt takes as 5,000 turns; passlib, which Ansible hashes by, wants more by itself.
_TURNS = {"sha256": 535_000, "sha512": 656_000}
_UNSAID_TURNS = 5_000
_lock = threading.Lock()


def hashed(password: str, kind: str, salt: str, rounds: int | None = None, ident: str | None = None) -> str:
    """The hash of a password. Raises TemplateError when the type is unknown or libcrypt is missing."""
    if kind not in (*_PREFIXES, *BCRYPT):
        raise TemplateError(f"password_hash: the type {kind!r} is none of {', '.join((*_PREFIXES, *BCRYPT))}")
    name = ctypes.util.find_library("crypt")
    if name is None:
        raise TemplateError("password_hash: this machine has no libcrypt; install libcrypt1")
    library = ctypes.CDLL(name)
    library.crypt.restype = ctypes.c_char_p
    if kind in BCRYPT:
        setting = f"${ident or '2b'}${rounds or 12:02d}${salt}"
    else:
        wanted = rounds or _TURNS.get(kind)
        turns = f"rounds={wanted}$" if kind in _TURNS and wanted != _UNSAID_TURNS else ""
        setting = f"{_PREFIXES[kind]}{turns}{salt}"
    with _lock:
        done: bytes | None = library.crypt(password.encode(), setting.encode())
    if not done or done.startswith(b"*"):
        raise TemplateError(f"password_hash: libcrypt refuses the salt {salt!r} for {kind}")
    return done.decode()
