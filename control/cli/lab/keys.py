"""SSH keys of a lab: the operator's, and one a host, so that the operator's known_hosts is right from the start."""

from __future__ import annotations

from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey


def ensure_key(path: Path, comment: str) -> str:
    """Make an Ed25519 key pair at `path` and `path`.pub if there is none; returns the public line."""
    public = path.with_name(f"{path.name}.pub")
    if path.exists() and public.exists():
        return public.read_text().strip()
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )
    line = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.write_bytes(private)
    public.write_text(f"{line.decode()} {comment}\n")
    return public.read_text().strip()


def known_hosts_line(address: str, port: int, public: str) -> str:
    """The line of known_hosts for a host key that answers at an address and port."""
    kind, key, *_ = public.split()
    return f"[{address}]:{port} {kind} {key}\n"
