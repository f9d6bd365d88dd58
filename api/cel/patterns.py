r"""Regular expressions in RE2's syntax, by the RE2 that the evaluator of expressions brings along.

Their authors are users, and so are those of the texts: Python's own engine takes for ever over some of them.

Invariant: a search takes time in proportion to the text, whatever the pattern.
Source: https://github.com/google/re2/wiki/Syntax; the evaluator's extension `regex`.
"""

from __future__ import annotations

import re
import sys
from functools import lru_cache
from typing import Any

from cel_expr_python import cel

# Characters of what is remembered, since users write both the patterns and the texts.
_SHORT = 1024
# The evaluator's texts end where C's do, so another character that nobody uses stands for a zero.
_NUL = "\ue000"
# One of them, that the text does not have, is put around each match.
_MARKS = range(ord(_NUL) + 1, sys.maxunicode)
_REFUSED = re.compile(r"^[A-Z_]+: (?:[Ii]nvalid regular expression: )?")


class BadPattern(ValueError):
    """The text is no regular expression; the message says why."""


def check(pattern: str) -> None:
    """Raises BadPattern."""
    _ask("matches", pattern, "")


def matches(pattern: str, text: str) -> bool:
    """Whether the pattern is found anywhere in the text. Raises BadPattern."""
    is_short = len(pattern) + len(text) <= _SHORT
    return _remembered(pattern, text) if is_short else bool(_ask("matches", pattern, text))


@lru_cache(4096)
def _remembered(pattern: str, text: str) -> bool:
    return bool(_ask("matches", pattern, text))


def find_all(pattern: str, text: str, most: int = -1) -> list[str]:
    """What the pattern matches, from left to right, at most so many. Raises BadPattern."""
    if most == 0:
        check(pattern)
        return []
    present = set(text)
    mark = next(mark for mark in map(chr, _MARKS) if mark not in present)
    marked = str(_ask("first" if most == 1 else "all", pattern, text, f"{mark}\\0{mark}"))
    found = [one.replace(_NUL, "\0") for one in marked.split(mark)[1::2]]
    return found if most < 0 else found[:most]


def _ask(question: str, pattern: str, text: str, replacement: str = "") -> Any:
    given = {"pattern": pattern.replace("\0", _NUL), "text": text.replace("\0", _NUL), "replacement": replacement}
    try:
        value = _programs()[question].eval(data=given)
    except (RuntimeError, TypeError, ValueError) as error:
        raise BadPattern(_REFUSED.sub("", str(error))) from error
    if value.type() == cel.Type.ERROR:
        raise BadPattern(_REFUSED.sub("", str(value.value())).removesuffix(" [INVALID_ARGUMENT]"))
    return value.plain_value()


@lru_cache(1)
def _programs() -> dict[str, Any]:
    config = cel.NewEnvConfigFromYaml("extensions:\n- name: optional\n- name: regex\n")
    variables = dict.fromkeys(("pattern", "text", "replacement"), cel.Type.STRING)
    environment = cel.NewEnv(None, config=config, variables=variables)
    questions = {
        "matches": "text.matches(pattern)",
        "first": "regex.replace(text, pattern, replacement, 1)",
        "all": "regex.replace(text, pattern, replacement)",
    }
    return {name: environment.compile(text) for name, text in questions.items()}
