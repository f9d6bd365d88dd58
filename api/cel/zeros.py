"""Zero characters in texts: the evaluator's texts end where C's do, so another character stands for them meanwhile.

Invariant: values without zero characters are left as they are.
"""

from __future__ import annotations

import re
from typing import Any

from api.cel.constructors import TOKEN

ZERO, STAND_IN = "\0", "\ue000"
WRITTEN = b"\\u0000"
"""How JSON writes one; a text that has these six characters itself has them, too."""
_ESCAPE = re.compile(r"(\\[^xX0uU])|\\(?:[xX]00|000|u0000|U00000000)", re.DOTALL)


def replaced(value: Any, old: str = ZERO, new: str = STAND_IN) -> Any:
    """The value with the one character in place of the other, wherever in it."""
    if isinstance(value, str):
        return value.replace(old, new)
    if isinstance(value, list):
        return [replaced(one, old, new) for one in value]
    if isinstance(value, dict):
        return {replaced(key, old, new): replaced(one, old, new) for key, one in value.items()}
    return value


def without(expression: str) -> str:
    """The expression with the other character in its literals of texts; literals of bytes keep theirs."""
    if ZERO not in expression and not _ESCAPE.search(expression):
        return expression
    return "".join(_piece(token) for token in TOKEN.finditer(expression))


def _piece(token: re.Match[str]) -> str:
    piece = token[0]
    if token["raw"] is not None or token["text"] is not None:
        if piece[0] in "bB" or piece[1] in "bB":
            return piece
        piece = piece.replace(ZERO, STAND_IN)
    if token["text"] is not None:
        piece = _ESCAPE.sub(lambda escape: escape[0] if escape[1] else STAND_IN, piece)
    return piece
