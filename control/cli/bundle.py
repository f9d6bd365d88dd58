"""`wherry bundle`: Wherry and its pinned dependencies as one archive, for nodes that have no internet.

It is a directory tree for one Python version and one kind of machine, compiled already, named by a hash of what
went into it; a node unpacks it to /opt/wherry/releases/HASH and needs no pip, venv or compiler.

Invariant: the same sources and the same lock file give the same hash; what has that hash is never made twice.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from control.cli import archive, cache
from control.cli.errors import CommandError

PACKAGES = ("api", "control", "agents", "inventory", "playbooks")
_KIND = "bundles"
_KEPT = 4
# Sources of compiled parts, type hints and the dependencies' own tests: nothing that runs on a node.
_LEFT_OUT_SUFFIXES = (".pyi", ".pyx", ".pxd", ".c", ".h", ".hpp", ".cpp")
_LEFT_OUT_DIRECTORIES = {"tests", "testing", "__pycache__", "bin", "include"}
# Large modules that only make available by import what an environment names in its configuration.
_LEFT_OUT_LIBRARIES = "cel_expr_python/ext/*.so"
# The C libraries of the oldest distributions that nodes run: wheels for any of these work there.
_GLIBC_TAGS = ("manylinux_2_34", "manylinux_2_28", "manylinux_2_17", "manylinux2014")

# Sorts behind all else in the archive: where it is, the whole of the archive was unpacked.
_COMPLETE = archive.Entry("~complete", b"")


@dataclass(frozen=True, slots=True)
class Target:
    """What a node runs: its Python as MAJOR.MINOR, and its machine as `uname -m` says it."""

    python: str
    machine: str

    def __str__(self) -> str:
        return f"{self.python}-{self.machine}"

    @classmethod
    def parse(cls, text: str) -> Target:
        """The inverse of str(). Raises ValueError."""
        python, separator, machine = text.partition("-")
        if not separator or not re.fullmatch(r"3\.\d+", python):
            raise ValueError(f"{text!r} is no target; write for example 3.11-x86_64")
        return cls(python, machine)


@dataclass(frozen=True, slots=True)
class Bundle:
    """An archive and the hash that names the release in it."""

    file: Path
    hash: str

    def to_json(self) -> dict[str, str]:
        """As playbooks take it."""
        return {"file": str(self.file), "hash": self.hash}


def this_machine() -> Target:
    """The target that is like the machine this runs on."""
    return Target(f"{sys.version_info.major}.{sys.version_info.minor}", platform.machine())


def build(target: Target, say: Callable[[str], None]) -> Bundle:
    """The bundle for a target, from the cache if it is there. Raises CommandError."""
    root = _checkout()
    lock = root / "requirements.lock"
    sources = dict(_sources(root))
    digest = _digest([str(target).encode(), lock.read_bytes(), *_flatten(sources)])
    with cache.locked(_KIND) as directory:
        file = directory / f"wherry-{digest}.tar.gz"
        if not file.exists():
            say(f"packing Wherry for Python {target.python} on {target.machine}")
            dependencies = _dependencies(directory, lock, target)
            _pack(directory, file, sources, dependencies, target)
            cache.keep_newest(_KIND, "wherry-*.tar.gz", _KEPT)
    return Bundle(file, digest)


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of `wherry bundle`."""
    parser.add_argument(
        "--target",
        type=Target.parse,
        default=this_machine(),
        help="the nodes' Python and machine (default: %(default)s)",
    )
    parser.add_argument("--json", action="store_true", help="print a JSON object")


def run(arguments: argparse.Namespace) -> int:
    """Build the bundle; prints its hash and its path."""
    bundle = build(arguments.target, lambda sentence: print(sentence, file=sys.stderr))
    print(json.dumps(bundle.to_json()) if arguments.json else f"{bundle.hash} {bundle.file}")
    return 0


def _checkout() -> Path:
    root = Path(__file__).resolve().parents[2]
    if not (root / "requirements.lock").exists():
        raise CommandError(f"{root} has no requirements.lock, so nothing says which dependencies the nodes get")
    return root


def _sources(root: Path) -> Iterator[tuple[str, bytes]]:
    for package in PACKAGES:
        for path in sorted((root / package).rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                yield path.relative_to(root).as_posix(), path.read_bytes()


def _flatten(sources: dict[str, bytes]) -> Iterator[bytes]:
    for name, content in sources.items():
        yield name.encode()
        yield content


def _digest(parts: list[bytes]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return digest.hexdigest()[:16]


def _dependencies(directory: Path, lock: Path, target: Target) -> Path:
    """A tree of the locked dependencies, compiled; made once for each lock file and target."""
    tree = directory / f"dependencies-{_digest([str(target).encode(), lock.read_bytes()])}"
    if tree.is_dir():
        return tree
    partial = tree.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    platforms = [f"--platform={tag}_{target.machine}" for tag in _GLIBC_TAGS]
    command = [
        sys.executable, "-m", "pip", "install", "--quiet", "--no-compile", "--no-deps", "--require-hashes",
        "--only-binary=:all:", "--implementation=cp", f"--python-version={target.python}", *platforms,
        f"--target={partial}", f"--requirement={lock}",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or [done.stderr.strip()]
        raise CommandError(f"pip could not get the nodes' dependencies: {errors[-1]}")
    for path in sorted(partial.rglob("*"), reverse=True):
        if path.is_dir() and path.name in _LEFT_OUT_DIRECTORIES:
            shutil.rmtree(path)
        elif path.suffix in _LEFT_OUT_SUFFIXES or path.match(_LEFT_OUT_LIBRARIES):
            path.unlink()
    _compile(partial, target)
    partial.rename(tree)
    cache.keep_newest(_KIND, "dependencies-*", 2)
    return tree


def _pack(directory: Path, file: Path, sources: dict[str, bytes], dependencies: Path, target: Target) -> None:
    own = directory / "own.partial"
    shutil.rmtree(own, ignore_errors=True)
    try:
        for name, content in sources.items():
            (own / name).parent.mkdir(parents=True, exist_ok=True)
            (own / name).write_bytes(content)
        _compile(own, target)
        # Level 1: a second less on every change, for a tenth more bytes.
        packed = archive.compress(archive.pack([*archive.tree(own), *archive.tree(dependencies), _COMPLETE]), 1)
    finally:
        shutil.rmtree(own, ignore_errors=True)
    partial = file.with_suffix(".partial")
    partial.write_bytes(packed)
    partial.rename(file)


def _compile(tree: Path, target: Target) -> None:
    """Byte code for the target, if this Python makes such; otherwise the node's Python makes it when it starts."""
    if target.python != this_machine().python:
        return
    command = [
        sys.executable, "-m", "compileall", "-q", "-j", "0", "--invalidation-mode", "unchecked-hash",
        "-s", str(tree), "-p", "/opt/wherry/current", str(tree),
    ]  # fmt: skip
    # Files that do not compile are templates or are meant for another Python; they are not imported.
    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
