"""Filters that encrypt a text as `ansible-vault` does, and back.

Source: Ansible, filters `vault` and `unvault`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from inventory import vault
from inventory.errors import InventoryError
from playbooks.errors import TemplateError


def encrypted(value: Any, secret: Any, salt: Any = None, vault_id: str = "filter_default", **_: Any) -> str:
    """The envelope of a text; a salt of one's own makes it the same each time."""
    text = vault.encrypt(str(value), str(secret).encode(), str(salt).encode() if salt else os.urandom(32))
    if vault_id in ("", "default", "filter_default"):
        return text
    first, _newline, rest = text.partition("\n")
    return f"{first.replace(';1.1;', ';1.2;')};{vault_id}\n{rest}"


def decrypted(value: Any, secret: Any, **_: Any) -> str:
    """The text in an envelope; what is none stays as it is. Raises TemplateError for a wrong secret."""
    text = str(value)
    if not vault.is_encrypted(text):
        return text
    try:
        return vault.decrypt(text, (str(secret).encode(),), "unvault")
    except InventoryError as error:
        raise TemplateError(str(error)) from error


def is_vaulted_file(path: Any) -> bool:
    """Whether a file is an envelope."""
    with Path(str(path)).open("rb") as file:
        return file.read(len(vault.HEADER)) == vault.HEADER.encode()


FILTERS: Mapping[str, Callable[..., Any]] = {"vault": encrypted, "unvault": decrypted}
