"""A lab as tests drive it: through the command line, SSH and an unmodified kubectl, as a user does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import urllib3
import yaml

ROOT = Path(__file__).resolve().parents[2]
WHERRY = [str(Path(sys.executable).parent / "wherry")]
DEMO_PORT = 30080


@dataclass
class Lab:
    """One lab by name; `settings` are its words for site.yml, `first_words` is what bringing it up wrote."""

    name: str
    kubectl_program: Path
    settings: tuple[str, ...] = ()
    first_words: str = ""

    @property
    def files(self) -> Path:
        """Where its user files are."""
        return ROOT / ".lab" / self.name

    @property
    def inventory(self) -> Path:
        """Its inventory."""
        return self.files / "inventory.yml"

    def wherry(self, *words: str, check: bool = True, timeout: float = 400) -> subprocess.CompletedProcess[str]:
        """Run `wherry WORDS`."""
        return run([*WHERRY, *words], check=check, timeout=timeout)

    def lab(self, verb: str, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run `wherry lab VERB` for this lab."""
        return self.wherry("lab", verb, "--name", self.name, *words, check=check)

    def ssh(self, host: str, command: str, *, check: bool = True) -> str:
        """What a command, run on a host by root over SSH, writes to stdout."""
        words = ["ssh", "-F", str(self.files / "ssh_config"), host, f"sudo sh -c {_quoted(command)}"]
        return run(words, check=check, timeout=60).stdout

    def kubectl(self, *words: str, check: bool = True, timeout: float = 60, stdin: str | None = None) -> str:
        """What `kubectl WORDS` writes to stdout."""
        program = [str(self.kubectl_program), "--kubeconfig", str(self.files / "admin.kubeconfig"), *words]
        return run(program, check=check, timeout=timeout, stdin=stdin).stdout

    def objects(self, *words: str) -> list[dict[str, Any]]:
        """The items of `kubectl get WORDS -o json`."""
        found: list[dict[str, Any]] = json.loads(self.kubectl("get", *words, "-o", "json"))["items"]
        return found

    def running_pods(self, selector: str) -> list[dict[str, Any]]:
        """The pods of a selector that are Ready and not being deleted."""
        return [pod for pod in self.objects("pods", "-l", selector) if is_ready(pod)]

    def address(self, host: str) -> str:
        """The loopback address of a host."""
        groups = yaml.safe_load(self.inventory.read_text())["all"]["children"].values()
        addresses: dict[str, dict[str, str]] = {name: body for group in groups for name, body in group["hosts"].items()}
        return addresses[host]["ansible_host"]

    def ask(self, host: str, port: int = DEMO_PORT, *, timeout: float = 5.0) -> str:
        """What answers at a port of a host. Raises urllib3's HTTPError."""
        url = f"http://{self.address(host)}:{port}/"
        return urllib3.request("GET", url, timeout=timeout, retries=False).data.decode()


def run(
    command: Sequence[str], *, check: bool = True, timeout: float = 60, stdin: str | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a program; a failure shows what it wrote."""
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=timeout, input=stdin, check=False, cwd=ROOT, env=os.environ
    )
    if check and done.returncode:
        raise AssertionError(f"{' '.join(map(str, command))}: exit {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done


def eventually(condition: Callable[[], bool], seconds: float, what: str) -> None:
    """Wait for a condition; an assertion or a failed program in it counts as not yet."""
    deadline = time.monotonic() + seconds
    last: BaseException | None = None
    while True:
        try:
            if condition():
                return
        except (AssertionError, urllib3.exceptions.HTTPError, subprocess.TimeoutExpired) as error:
            last = error
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {seconds:.0f} s") from last
        time.sleep(0.3)


def is_ready(pod: dict[str, Any]) -> bool:
    """True for a pod that serves."""
    conditions = pod["status"].get("conditions") or []
    ready = any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)
    return ready and "deletionTimestamp" not in pod["metadata"]


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"
