"""The base tree of every lab host: a minimal system of the machine's own distribution, made once.

It comes from the machine's own apt sources and is the read-only lower layer of each host's overlay. Building takes
a minute or two, so it is kept in a cache under the hash of its recipe: another recipe is another tree.

Invariant: a directory in the cache is whole; it appears there by rename.
"""

from __future__ import annotations

import hashlib
import platform
import shutil
from collections.abc import Callable
from importlib.resources import as_file, files
from pathlib import Path

from control.cli import cache
from control.cli.errors import CommandError
from control.cli.lab import shell

_KIND = "trees"
PACKAGES = (
    "systemd", "systemd-sysv", "dbus", "libpam-systemd", "openssh-server", "python3", "sudo", "iproute2", "nftables",
    "netbase", "podman", "crun", "netavark", "conmon", "catatonit", "busybox-static", "ca-certificates", "procps",
    "uidmap", "iputils-ping", "python3-apt",
)  # fmt: skip
# Proxy and date settings decide whether the machine's apt reaches its sources at all, so the tree's apt needs them.
_INHERITED_APT_OPTIONS = ("Acquire::http::", "Acquire::https::", "Acquire::Check-Valid-Until", "Acquire::Check-Date")


def base_tree(say: Callable[[str], None]) -> Path:
    """The path of the base tree; builds it if the cache lacks it. Raises CommandError."""
    suite = platform.freedesktop_os_release().get("VERSION_CODENAME", "")
    script = files(__package__).joinpath("tree.sh")
    recipe = "\n".join([suite, platform.machine(), *PACKAGES, script.read_text()])
    tree = cache.directory(_KIND) / hashlib.sha256(recipe.encode()).hexdigest()[:16]
    if tree.is_dir():
        return tree
    with cache.locked(_KIND):
        if not tree.is_dir():
            say(f"building the base tree of the lab hosts ({suite}, once, 1-3 minutes)")
            with as_file(script) as setup:
                _build(suite, tree, setup)
    return tree


def purge() -> None:
    """Remove all cached trees."""
    cache.purge(_KIND)


def _build(suite: str, tree: Path, setup: Path) -> None:
    partial = tree.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    command = [
        "mmdebstrap", "--variant=minbase", "--mode=root", "--format=directory", "--quiet",
        f"--include={','.join(PACKAGES)}",
        f"--customize-hook=sh '{setup}' \"$1\"",
        *(f"--aptopt={option}" for option in apt_options(shell.run("apt-config", "dump"))),
        suite, str(partial), "-",
    ]  # fmt: skip
    try:
        shell.run(*command, stdin=_sources(suite), environment={"TMPDIR": str(tree.parent)})
        partial.rename(tree)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def apt_options(dump: str) -> list[str]:
    """The lines of `apt-config dump` that the tree's apt must share with the machine's."""
    return [line for line in dump.splitlines() if line.startswith(_INHERITED_APT_OPTIONS) and not line.endswith(' "";')]


def _sources(suite: str) -> str:
    form = "$(REPO_URI) $(RELEASE) $(COMPONENT) $(ORIGIN) $(SIGNED_BY)"
    query = ("apt-get", "indextargets", "--format", form, "Created-By: Packages")
    found = source_lines(shell.run(*query), suite)
    if not found:
        shell.run("apt-get", "update")
        found = source_lines(shell.run(*query), suite)
    if not found:
        raise CommandError(f"apt on this machine has no source of {suite} that the lab hosts could be built from")
    return "".join(f"{line}\n" for line in found)


def source_lines(targets: str, suite: str) -> list[str]:
    """sources.list lines of the distribution itself, from apt's index targets; third-party sources are left out."""
    lines = []
    for target in targets.splitlines():
        uri, release, component, origin, *signed_by = target.split()
        if origin not in ("Debian", "Ubuntu") or release.partition("-")[0] != suite:
            continue
        options = f"[signed-by={signed_by[0]}] " if signed_by and signed_by[0].startswith("/") else ""
        lines.append(f"deb {options}{uri} {release} {component}")
    return list(dict.fromkeys(lines))
