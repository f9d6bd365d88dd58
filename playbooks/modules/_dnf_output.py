"""What dnf prints, read: the table of a planned transaction, packages in queries, and why it refused.

Invariant: pure.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from playbooks.engine.helper.call import Completed, Failure

# A table's sections begin with one of these, or tell of packages that stay as they are.
_BRINGING = ("Installing", "Upgrading", "Downgrading", "Reinstalling")
_MOVING = (*_BRINGING, "Removing")
_SECTION = re.compile(r"([A-Z][a-z]+)[a-z ]*:$")
_ROW = re.compile(r" (\S+) +(\S+) +(\S+) +(\S+) +[0-9.]+ *[kMGT]? *$")
_MISSING = re.compile(r"^(?:No match for argument|Unable to find a match): (.*)$", re.MULTILINE)
_EXCLUDED = re.compile(r"^(All matches were filtered out by .* for argument: (.*))$", re.MULTILINE)
_GROUP = re.compile(r"^Module or Group '(.*)' is not available", re.MULTILINE)
_FILE = re.compile(r"^(Could not open: .*)$", re.MULTILINE)
_UNSIGNED = re.compile(r"^Package (\S+)\.rpm is not signed$", re.MULTILINE)


class Row(NamedTuple):
    """A package in a planned transaction, under the first word of its section."""

    section: str
    name: str
    package: str

    @property
    def is_new(self) -> bool:
        """Whether the package comes; otherwise it goes."""
        return self.section in _BRINGING


def package(name: str, epoch: str, version: str, arch: str) -> str:
    """A package as dnf writes it; an epoch of 0 is left out."""
    return f"{name}-{f'{epoch}:' if epoch not in ('', '0') else ''}{version}.{arch}"


def rows(text: str) -> list[Row]:
    """The packages of a transaction's table."""
    found: list[Row] = []
    section = ""
    for line in text.splitlines():
        if line == "Transaction Summary":
            break
        heading = _SECTION.match(line)
        row = _ROW.match(line)
        if heading:
            section = heading[1]
        elif row and section in _MOVING:
            name, arch, version, _ = row.groups()
            found.append(Row(section, name, package(name, "", version, arch)))
    return found


def described(line: str) -> dict[str, str]:
    """A package of a query: name, epoch, version, release, architecture and repository, parted by bars."""
    name, epoch, version, release, arch, repository = line.split("|")
    whole = f"{epoch}:{name}-{version}-{release}.{arch}"
    found = {"name": name, "epoch": epoch, "version": version, "release": release, "arch": arch, "repo": repository}
    state = "installed" if repository == "@System" else "available"
    return {**found, "envra": whole, "nevra": whole, "yumstate": state}


def unmatched(done: Completed) -> list[str]:
    """What dnf looked for and did not find."""
    return list(dict.fromkeys(name for name in _MISSING.findall(f"{done.out}\n{done.err}") if " " not in name))


def failure(done: Completed) -> Failure:
    """Why dnf refused, as Ansible tells it."""
    said = f"{done.out}\n{done.err}"
    if group := _GROUP.search(said):
        return Failure(f"No group {group[1]} available.", results=[])
    if file := _FILE.search(said):
        return Failure(f"Error occurred attempting remote rpm operation: {file[1]}", rc=1, results=[])
    if unsigned := _UNSIGNED.search(said):
        name = unsigned[1]
        return Failure(f"Failed to validate GPG signature for {name}: Package {name}.rpm is not signed")
    excluded = [f"{name} {sentence}" for sentence, name in _EXCLUDED.findall(said)]
    missing = [name for name in unmatched(done) if not any(one.startswith(f"{name} ") for one in excluded)]
    failures = [*excluded, *(f"No package {name} available." for name in missing)]
    result: dict[str, Any] = {"failures": failures, "rc": 1, "results": []}
    if failures:
        return Failure("Failed to install some of the specified packages", **result)
    reason = said.partition("Error: ")[2].partition("(try to add")[0].rstrip()
    if reason.strip().startswith("Problem"):
        return Failure(f"Depsolve Error occurred: {reason}", **result)
    return Failure(f"Unknown Error occurred: {reason.strip() or done.err.strip() or done.out.strip()}", **result)
