"""The errors of reading: one sentence each that names file and line.

Invariant: nothing else leaves this package for a fault in what the user wrote.
"""

from __future__ import annotations


class InventoryError(Exception):
    """One sentence: which file and line, what is wrong there, what to do."""


class DocumentError(InventoryError):
    """A YAML text that cannot be read at all."""
