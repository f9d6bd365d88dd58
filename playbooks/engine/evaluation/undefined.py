"""Finds an undefined value inside collections before it is written down as text."""

from __future__ import annotations

from typing import Any

import jinja2


def refuse_undefined(value: Any) -> None:
    """Raise jinja2.UndefinedError if `value` or a part of it is undefined."""
    if isinstance(value, jinja2.Undefined):
        # Any use of a strict undefined raises with the right name.
        str(value)
    elif isinstance(value, dict):
        for item in value.values():
            refuse_undefined(item)
    elif isinstance(value, list | tuple):
        for item in value:
            refuse_undefined(item)
