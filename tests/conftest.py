"""Fixtures for all tiers: the unmodified clients that tests drive."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LOCK = ROOT / "requirements-kubectl.lock"


@pytest.fixture(scope="session")
def kubectl() -> Path:
    """An unmodified kubectl: $WHERRY_KUBECTL, or the one of the locked package."""
    given = os.environ.get("WHERRY_KUBECTL")
    return Path(given) if given else _clients() / "kubectl" / "kubectl"


@pytest.fixture(scope="session")
def helm() -> Path:
    """An unmodified helm, of the same package."""
    return _clients() / "helm" / "helm"


def _clients() -> Path:
    """The unpacked programs; fetched once into the checkout's build directory."""
    version = LOCK.read_text().partition("==")[2].split()[0]
    target = ROOT / "build" / f"clients-{version}"
    if target.is_dir():
        return target
    partial = ROOT / "build" / f"clients-{version}.{os.getpid()}"
    wheels = partial / "wheel"
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--require-hashes", f"--target={wheels}",
         f"--requirement={LOCK}"],
        check=True,
    )  # fmt: skip
    package = next(wheels.glob("aws_cdk/*/_jsii/*.tgz"))
    with tarfile.open(package) as outer:
        member = next(entry for entry in outer if entry.name.endswith("layer.zip"))
        content = outer.extractfile(member)
        assert content is not None
        with zipfile.ZipFile(io.BytesIO(content.read())) as layer:
            layer.extractall(partial)
    for program in (partial / "kubectl" / "kubectl", partial / "helm" / "helm"):
        program.chmod(0o755)
    subprocess.run(["rm", "-rf", str(wheels)], check=True)
    if not target.is_dir():
        partial.rename(target)
    return target
