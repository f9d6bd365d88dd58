"""Programs that the lab runs: one way to start them, one way to say that they failed.

Invariant: a program that fails ends as a `CommandError` that carries the last line the program wrote.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence

from control.cli.errors import CommandError


def run(
    *command: str, stdin: str | None = None, environment: Mapping[str, str] | None = None, check: bool = True
) -> str:
    """Run a program to its end; returns what it wrote to stdout. Raises CommandError unless `check` is off."""
    try:
        done = subprocess.run(
            command,
            input=stdin,
            capture_output=True,
            text=True,
            env={**os.environ, **(environment or {})},
            check=False,
        )
    except OSError as error:
        raise CommandError(f"{command[0]} cannot be run: {error.strerror}") from error
    if check and done.returncode:
        raise CommandError(f"`{' '.join(command[:6])}` failed: {_last_line(done.stderr or done.stdout)}")
    return done.stdout


def succeeds(*command: str) -> bool:
    """True if the program exits with status 0; its output is dropped."""
    return subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False).returncode == 0


def install_missing(programs: Mapping[str, str]) -> list[str]:
    """Install by apt what is not on the machine: `programs` maps a program to its package. Returns the packages."""
    packages = sorted({package for program, package in programs.items() if shutil.which(program) is None})
    if not packages:
        return []
    if shutil.which("apt-get") is None:
        raise CommandError(f"this machine has no apt-get; install {', '.join(packages)} by hand and run this again")
    require_root(f"installing {', '.join(packages)}")
    quiet = {"DEBIAN_FRONTEND": "noninteractive"}
    install: Sequence[str] = ("apt-get", "install", "--yes", "--no-install-recommends", *packages)
    if subprocess.run(install, capture_output=True, env={**os.environ, **quiet}, check=False).returncode:
        run("apt-get", "update", environment=quiet)
        run(*install, environment=quiet)
    return packages


def require_root(what: str) -> None:
    """Raises CommandError unless this process is root."""
    if os.geteuid() != 0:
        raise CommandError(f"{what} needs root; run the same command with sudo")


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "it said nothing"
