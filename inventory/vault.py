"""Decrypts and encrypts what `ansible-vault` writes (format 1.1 and 1.2, AES256).

The payload is hex of three hex lines: salt, HMAC-SHA256 of the ciphertext, ciphertext (AES-256-CTR, PKCS#7
padding); PBKDF2-HMAC-SHA256 with 10,000 rounds gives cipher key, HMAC key and counter.

Source: Ansible, "Ansible Vault payload format 1.1 - 1.2".
"""

from __future__ import annotations

import binascii
import hashlib
import hmac
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from inventory.errors import InventoryError

Secrets = Sequence[bytes]

HEADER = "$ANSIBLE_VAULT;"


def secret(source: str) -> bytes:
    """The password of a `--vault-password-file` or of a `--vault-id LABEL@SOURCE`: a file, or what a program prints.

    Raises InventoryError. The label is for programs named `…-client`; every secret is tried on every vault.
    """
    label, _, name = source.rpartition("@")
    path = Path(name).expanduser()
    try:
        if not os.access(path, os.X_OK) or path.is_dir():
            return path.read_bytes().strip()
        words = [str(path.absolute()), *(["--vault-id", label] if path.stem.endswith("-client") and label else [])]
        done = subprocess.run(words, check=True, stdout=subprocess.PIPE)
    except OSError as error:
        raise InventoryError(f"the vault password file {name}: {error.strerror}") from error
    except subprocess.CalledProcessError as error:
        raise InventoryError(f"the vault password program {name} ended with status {error.returncode}") from error
    return done.stdout.strip()


def is_encrypted(text: str) -> bool:
    """Whether a text is a vault envelope."""
    return text.startswith(HEADER)


def decrypt(text: str, secrets: Secrets, where: str) -> str:
    """The plain text, by the first secret that fits. Raises InventoryError naming `where`."""
    lines = text.strip().splitlines()
    if not lines or not is_encrypted(lines[0]) or not lines[0].rstrip().split(";")[2:3] == ["AES256"]:
        raise InventoryError(f"{where}: not an Ansible vault of cipher AES256")
    if not secrets:
        raise InventoryError(f"{where}: encrypted by ansible-vault; give --vault-password-file or --vault-id")
    try:
        envelope = binascii.unhexlify("".join(line.strip() for line in lines[1:]))
        salt, digest, ciphertext = (binascii.unhexlify(part) for part in envelope.split(b"\n", 2))
    except (ValueError, binascii.Error) as error:
        raise InventoryError(f"{where}: the vault text is damaged: {error}") from error
    for secret in secrets:
        cipher_key, hmac_key, counter = _keys(secret, salt)
        if hmac.compare_digest(hmac.new(hmac_key, ciphertext, hashlib.sha256).digest(), digest):
            padded = _aes(cipher_key, counter, ciphertext)
            return padded[: -padded[-1]].decode()
    raise InventoryError(f"{where}: none of the vault passwords given fits")


def encrypt(text: str, secret: bytes, salt: bytes) -> str:
    """A vault envelope of `text`; `salt` is 32 random bytes."""
    cipher_key, hmac_key, counter = _keys(secret, salt)
    plain = text.encode()
    fill = 16 - len(plain) % 16
    ciphertext = _aes(cipher_key, counter, plain + bytes([fill]) * fill)
    digest = hmac.new(hmac_key, ciphertext, hashlib.sha256).digest()
    inner = b"\n".join(binascii.hexlify(part) for part in (salt, digest, ciphertext))
    outer = binascii.hexlify(inner).decode()
    rows = [outer[start : start + 80] for start in range(0, len(outer), 80)]
    return "\n".join([f"{HEADER}1.1;AES256", *rows]) + "\n"


def _keys(secret: bytes, salt: bytes) -> tuple[bytes, bytes, bytes]:
    derived = hashlib.pbkdf2_hmac("sha256", secret.strip(), salt, 10_000, 80)
    return derived[:32], derived[32:64], derived[64:]


def _aes(key: bytes, counter: bytes, data: bytes) -> bytes:
    # A slow import that most runs never need.
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

    transform = Cipher(algorithms.AES(key), modes.CTR(counter)).encryptor()
    return transform.update(data) + transform.finalize()
