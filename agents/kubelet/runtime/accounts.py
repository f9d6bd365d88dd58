"""Users and groups as an image's /etc/passwd and /etc/group have them.

Invariant: pure; a line that cannot be read is passed over, as the C library does.
Source: passwd(5), group(5); core/v1 SupplementalGroupsPolicy.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Accounts:
    """The texts of /etc/passwd and /etc/group; "" where the image has none."""

    passwd: str = ""
    group: str = ""

    def primary_group(self, user: str) -> int:
        """The group of a user named or numbered; 0 for one that is not listed."""
        return next((int(line[3]) for line in self._users(user) if line[3].isdigit()), 0)

    def memberships(self, user: str) -> tuple[int, ...]:
        """The groups that list a user, in the file's order."""
        names = {line[0] for line in self._users(user)}
        return tuple(
            int(line[2])
            for line in _lines(self.group, 4)
            if line[2].isdigit() and names & set(filter(None, line[3].split(",")))
        )

    def _users(self, user: str) -> Iterator[list[str]]:
        """The lines of a user, root if it is ""."""
        wanted = user or "0"
        place = 2 if wanted.isdigit() else 0
        return (line for line in _lines(self.passwd, 4) if line[place] == wanted)


def _lines(text: str, least: int) -> Iterator[list[str]]:
    for line in text.splitlines():
        fields = line.strip().split(":")
        if len(fields) >= least and not line.startswith("#"):
            yield fields
