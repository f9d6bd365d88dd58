"""Which members of an archive are wanted, and under which names: `include`, `exclude`, options of tar and of unzip.

Invariant: pure. Patterns and options mean what they mean to GNU tar and to Info-ZIP's unzip, which Ansible calls; an
option that is not followed here is refused.
"""

from __future__ import annotations

import fnmatch
from typing import NamedTuple, Sequence

from playbooks.engine.helper.call import Failure

# What tar does here anyway, or says.
_TAR_ALREADY = (
    "--overwrite", "--no-overwrite-dir", "-v", "--verbose", "-p", "--preserve-permissions", "--same-permissions",
)  # fmt: skip
_TAR_VALUES = ("--strip-components", "--exclude")
_ZIP_ALREADY = ("-o", "-q", "-qq")


class TarOptions(NamedTuple):
    """Options of tar: leading parts of names to leave out, patterns of what stays out, whether owners come along."""

    strip: int = 0
    exclude: tuple[str, ...] = ()
    same_owner: bool = True


class ZipOptions(NamedTuple):
    """Options of unzip: whether names lose their directories, and files that are there stay as they are."""

    junk: bool = False
    never: bool = False


def tar_options(words: Sequence[str]) -> TarOptions:
    """What `extra_opts` say to tar. Raises Failure for what is not supported."""
    found = TarOptions()
    rest = iter(words)
    for word in rest:
        name, given, value = word.partition("=")
        if name in _TAR_VALUES:
            value = value if given else next(rest, "")
            if name == "--exclude":
                found = found._replace(exclude=(*found.exclude, value))
            elif value.isdigit():
                found = found._replace(strip=int(value))
            else:
                raise Failure(f"extra_opts: --strip-components needs a number, not {value!r}")
        elif word in ("--no-same-owner", "-o", "--same-owner"):
            found = found._replace(same_owner=word == "--same-owner")
        elif word not in _TAR_ALREADY:
            raise _refused("tar", word, (*_TAR_VALUES, "--no-same-owner", "--same-owner", *_TAR_ALREADY))
    return found


def zip_options(words: Sequence[str]) -> ZipOptions:
    """What `extra_opts` say to unzip. Raises Failure for what is not supported."""
    others = [word for word in words if word not in ("-j", "-n", *_ZIP_ALREADY)]
    if others:
        raise _refused("unzip", others[0], ("-j", "-n", *_ZIP_ALREADY))
    return ZipOptions("-j" in words, "-n" in words)


def _refused(program: str, word: str, supported: Sequence[str]) -> Failure:
    listed = ", ".join(supported)
    return Failure(f"extra_opts: {word!r} is not supported, archives are read without {program}; supported: {listed}")


def stripped(name: str, strip: int) -> str | None:
    """A member's name without its first parts; None if it has no more than those."""
    for _ in range(strip):
        _, more, name = name.partition("/")
        if not more:
            return None
    return name


def tar_excludes(name: str, patterns: Sequence[str]) -> bool:
    """Whether a pattern fits a name: any run of its parts, and so all that is in a directory that one fits."""
    parts = name.rstrip("/").split("/")
    runs = ["/".join(parts[first:last]) for first in range(len(parts)) for last in range(first + 1, len(parts) + 1)]
    return any(fnmatch.fnmatchcase(run, pattern.rstrip("/")) for pattern in patterns for run in runs)


def tar_includes(name: str, wanted: str) -> bool:
    """Whether a member is the one named, letter by letter, or in it."""
    return name.rstrip("/") == wanted.rstrip("/") or name.startswith(wanted.rstrip("/") + "/")


def unmatched(names: Sequence[str], include: Sequence[str], kind: str) -> list[str]:
    """What is to be included and is not there."""
    fits = tar_includes if kind == "tar" else fnmatch.fnmatchcase
    return [wanted for wanted in include if not any(fits(name, wanted) for name in names)]
