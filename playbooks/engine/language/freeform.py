"""The one-line form of a task: `copy: src=a dest="b c"`, `command: make install creates=/x`.

Invariant: pure; quotes and `{{ … }}` hold words together, and text that is not `key=value` stays as written.
"""

from __future__ import annotations

import codecs
import re

# A name may be, or hold, a template; without a second try, of which there would be twice as many for each template.
_PAIR = re.compile(r"^((?=\D)(?:\w|\{\{.*?\}\})++)=(.*)$", re.DOTALL)
# What a backslash spells in a value, as in quotes in YAML.
_ESCAPE = re.compile(r"""\\(?:U[0-9a-fA-F]{8}|u[0-9a-fA-F]{4}|x[0-9a-fA-F]{2}|N\{[^}]+\}|[\\'"abfnrtv])""")


def words(text: str) -> list[str]:
    """The words of a line with the white space before each, so that joining them gives the line back.

    A backslash that stands alone, as at the end of a line that goes on in the next one, is no word.
    """
    found: list[str] = []
    current, quote, depth, index = "", "", 0, 0
    while index < len(text):
        two, character = text[index : index + 2], text[index]
        if not quote and two in ("{{", "{%", "{#"):
            depth, current, index = depth + 1, current + two, index + 2
            continue
        if not quote and depth and two in ("}}", "%}", "#}"):
            depth, current, index = depth - 1, current + two, index + 2
            continue
        if (
            character == "\\"
            and not (quote or depth or current.strip())
            and text[index + 1 : index + 2] in ("", " ", "\n")
        ):
            index += 2 if text[index + 1 : index + 2] == "\n" else 1
            if current.endswith(" ") and text[index : index + 1] == " ":
                current = current[:-1]
            continue
        if character == "\\" and not depth and index + 1 < len(text):
            current, index = current + two, index + 2
            continue
        if not depth and character in "\"'":
            quote = "" if quote == character else quote or character
        if character.isspace() and not quote and not depth and current.strip():
            found.append(current)
            current = ""
        current += character
        index += 1
    if quote or depth:
        raise ValueError("unbalanced quotes or braces")
    return [*found, current] if current.strip() else found


def pairs(text: str, known: frozenset[str] | None = None) -> tuple[str, dict[str, str]]:
    """The free text and the `key=value` pairs of a line; with `known`, only those keys are pairs.

    Raises ValueError for unbalanced quotes.
    """
    rest, found = "", {}
    parts = words(text)
    if parts:
        parts[-1] += text[len(text.rstrip()) :]
    for word in parts:
        matched = _PAIR.match(_ESCAPE.sub(_spelt, word.strip()))
        if matched and (known is None or matched[1] in known):
            found[matched[1]] = unquote(matched[2])
        else:
            rest += word
    return rest.lstrip(), found


def _spelt(escape: re.Match[str]) -> str:
    return codecs.decode(escape[0], "unicode-escape")


def unquote(text: str) -> str:
    """The text without one pair of quotes around all of it."""
    if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'" and text[-2] != "\\":
        return text[1:-1]
    return text
