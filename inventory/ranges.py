"""Host ranges: `node[1:9]`, `node[01:10:2].example`, `db-[a:f]`.

Source: Ansible, "Adding ranges of hosts".
"""

from __future__ import annotations

import re
import string

from inventory.errors import InventoryError

_PORT = re.compile(r"^(?P<host>\[[^\]]+:[^\]]+\]|[^:]*(?:\[[^\]]*\][^:]*)*):(?P<port>\d+)$")
_ADDRESS = re.compile(r"^\[(?=.*::)[0-9a-fA-F:]+\]$|^\[(?:[0-9a-fA-F]+:){7}[0-9a-fA-F]+\]$")
_RANGE = re.compile(r"\[(?P<first>[^\[\]:]*):(?P<last>[^\[\]:]+)(?::(?P<step>\d+))?\]")


def expand(name: str) -> list[str]:
    """All host names that a pattern with any number of ranges stands for; `[name]` if it has none."""
    found = _RANGE.search(name)
    if not found:
        return [name]
    before, after = name[: found.start()], name[found.end() :]
    values = _values(name, found["first"] or "0", found["last"], int(found["step"] or 1))
    return [before + value + rest for value in values for rest in expand(after)]


def named(pattern: str) -> tuple[list[str], dict[str, int]]:
    """The hosts of a pattern that may end with a port, and that as their variable; an IPv6 address is in brackets."""
    found = _PORT.match(pattern)
    port = {"ansible_port": int(found["port"])} if found else {}
    host = found["host"] if found else pattern
    return ([host[1:-1]] if _ADDRESS.match(host) else expand(host)), port


def _values(name: str, first: str, last: str, step: int) -> list[str]:
    if step < 1:
        raise InventoryError(f"host range {name!r}: the step must be at least 1")
    if first.isdigit() and last.isdigit():
        width = len(first) if first.startswith("0") and len(first) > 1 else 0
        if width and width != len(last):
            raise InventoryError(f"host range {name!r}: both ends need the same number of digits")
        values = [str(number).zfill(width) for number in range(int(first), int(last) + 1, step)]
    elif len(first) == len(last) == 1 and first in string.ascii_letters and last in string.ascii_letters:
        letters = string.ascii_letters
        values = list(letters[letters.index(first) : letters.index(last) + 1 : step])
    else:
        raise InventoryError(f"host range {name!r}: the ends must be two numbers or two letters")
    if not values:
        raise InventoryError(f"host range {name!r}: the end lies before the beginning")
    return values
