"""The error that a command ends with."""

from __future__ import annotations


class CommandError(Exception):
    """One sentence: what failed, on which host or object, why, and what to do."""
