"""Files of environment variables, which one container of a pod writes for the others.

A line is `NAME='VALUE'`, where the value may go on over lines, or `NAME=VALUE` without quotes; `#` begins a remark.

Invariant: pure.
Source: core/v1 FileKeySelector; kubelet/util/env ParseEnv.
"""

from __future__ import annotations

import re

_LINE = re.compile(
    r"""(?: (?P<name>[^\s='"\#]+) = (?: '(?P<quoted>[^']*)' | (?P<bare>[^'"\#\n]*?) ) )?
    [ \t]* (?: \#[^\n]* )? (?: \n | \Z )""",
    re.VERBOSE,
)


def value_in(text: str, key: str) -> str | None:
    """The value of a variable, None if the text has none of that name. Raises ValueError for what cannot be read."""
    position = 0
    while position < len(text):
        found = _LINE.match(text, position)
        if found is None:
            raise ValueError(f"line {text.count(chr(10), 0, position) + 1} is not NAME='VALUE'")
        if found["name"] == key:
            return found["bare"] if found["quoted"] is None else found["quoted"]
        position = found.end()
    return None
