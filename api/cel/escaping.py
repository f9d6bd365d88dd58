"""Field names as identifiers of the language.

Source: "Escaping" in "Validation rules" of the documentation of CustomResourceDefinitions.
"""

from __future__ import annotations

import re

_RESERVED = frozenset(
    {
        "true", "false", "null", "in", "as", "break", "const", "continue", "else", "for", "function", "if", "import",
        "let", "loop", "package", "namespace", "return",
    }
)  # fmt: skip
_PARTS = {"__": "__underscores__", ".": "__dot__", "-": "__dash__", "/": "__slash__"}
_ESCAPED = re.compile(r"__|[.\-/]")
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)


def escaped(name: str) -> str:
    """The identifier by which expressions name a field."""
    if name in _RESERVED:
        return f"__{name}__"
    return _ESCAPED.sub(lambda match: _PARTS[match[0]], name)


def is_identifier(name: str) -> bool:
    """Whether a variable can be named so."""
    return bool(_IDENTIFIER.fullmatch(name)) and name not in _RESERVED | {"var", "void", "while"}


def is_accessible(name: str) -> bool:
    """Whether expressions can name the field at all."""
    return bool(_IDENTIFIER.fullmatch(escaped(name)))
