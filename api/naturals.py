"""Whole numbers in texts that users write.

Python takes the digits of all scripts for digits, but no numeral for a number that is only one in writing ("²"), and
raises for very long ones; clients expect neither.
Invariant: whatever the text is, the answer is a number of 63 bits, or None.
"""

from __future__ import annotations

_TOO_LARGE = 1 << 63
_LONGEST = 1000


def natural(text: str) -> int | None:
    """The number that a text of digits states; None if it states none, or one that nobody can mean."""
    if not (text.isascii() and text.isdigit()) or len(text) > _LONGEST:
        return None
    number = int(text)
    return number if number < _TOO_LARGE else None
