"""One set of virtual machines for the whole tier, on a libvirt of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from libvirt_host import LibvirtHost

ROOT = Path(__file__).resolve().parents[2]
VAGRANT = ROOT / "vagrant"


@dataclass
class Machines:
    """The machines of the Vagrantfile, driven as a user does; every command and its time go to the log."""

    host: LibvirtHost
    kubectl_program: Path
    log: Path

    def vagrant(self, *words: str, **settings: str) -> str:
        """What `vagrant WORDS` says, with settings in its environment."""
        return self._timed("env", *(f"{name}={value}" for name, value in settings.items()), "vagrant", *words)

    def wherry(self, *words: str) -> str:
        """What `wherry WORDS` says, run on the host."""
        return self._timed(str(ROOT / ".venv" / "bin" / "wherry"), *words)

    def kubectl(self, *words: str) -> str:
        """What `kubectl WORDS` says, with the kubeconfig that provisioning brought."""
        kubeconfig = str(ROOT / ".lab" / "vagrant" / "admin.kubeconfig")
        return self.host.run(str(self.kubectl_program), "--kubeconfig", kubeconfig, *words)

    def page(self, address: str) -> str:
        """The demo's page at a worker's private address."""
        return self.host.run("curl", "--silent", "--show-error", "--max-time", "20", f"http://{address}:30080/")

    def _timed(self, *words: str) -> str:
        began = time.monotonic()
        said, outcome = "", "failed"
        try:
            said = self.host.run(*words, cwd=VAGRANT)
            outcome = "ok"
        except AssertionError as error:
            said = f"{error}\n"
            raise
        finally:
            words = words[words.index("vagrant") :] if "vagrant" in words else words
            name = " ".join(Path(word).name if word.startswith("/") else word for word in words)
            with self.log.open("a") as log:
                log.write(f"$ {name}\n{said}[{outcome}, {time.monotonic() - began:.0f} s]\n\n")
        return said


@pytest.fixture(scope="session")
def box() -> Path:
    """A box built by the recipe: kept in the checkout, made again when the recipe changed."""
    built = ROOT / "build" / "vagrant" / "debian.box"
    recipe = max(path.stat().st_mtime for path in (VAGRANT / "box").iterdir())
    if not built.exists() or built.stat().st_mtime < recipe:
        built.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["sh", str(VAGRANT / "box" / "build.sh"), str(built)], check=True)
    return built


@pytest.fixture(scope="session")
def machines(box: Path, kubectl: Path) -> Iterator[Machines]:
    """The machines, not up yet; destroyed at the end."""
    if os.geteuid() != 0:
        pytest.skip("libvirt in namespaces of its own needs root; run `make test-vagrant`")
    directory = ROOT / "build" / "vagrant" / "run"
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    settings = {
        "VAGRANT_HOME": str(directory / "home"),
        "VAGRANT_DOTFILE_PATH": str(directory / "dotfiles"),
        "VAGRANT_DEFAULT_PROVIDER": "libvirt",
        "VAGRANT_CHECKPOINT_DISABLE": "1",
        "WHERRY_DRIVER": os.environ.get("WHERRY_DRIVER", "qemu"),
        "WHERRY_BOX": "wherry/debian",
    }
    host = LibvirtHost(directory, f"vagrant-{os.getpid()}", settings)
    try:
        host.start()
        made = Machines(host, kubectl, ROOT / "build" / "vagrant" / "log.txt")
        made.log.write_text("")
        made.vagrant("box", "add", "--name", "wherry/debian", str(box))
        yield made
    finally:
        host.stop()


@pytest.fixture
def wheels() -> Iterator[Path]:
    """What the machines would fetch from a package index, which they do not reach here."""
    directory = VAGRANT / "wheels"
    fetch = [sys.executable, "-m", "pip", "download", "--quiet", f"--dest={directory}"]
    try:
        subprocess.run([*fetch, "--require-hashes", f"--requirement={ROOT / 'requirements.lock'}"], check=True)
        subprocess.run([*fetch, "setuptools>=77"], check=True)
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)
