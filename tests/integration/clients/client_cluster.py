"""A whole control plane and hollow nodes as processes, for tests that drive it with unmodified clients."""

from __future__ import annotations

import base64
import os
import ssl
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import orjson
import yaml

from api import kubeconfig
from api.client import Client
from api.errors import NotFound
from api.objects import Object

_PATIENCE = 60.0


class ClientCluster:
    """`wherry server` and `wherry hollow` on free ports; everything of theirs is under `directory`."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.kubeconfig = directory / "data" / "admin.kubeconfig"
        self._processes: list[subprocess.Popen[str]] = []
        server = self._wherry("server", "--data-dir", str(directory / "data"), "--listen", "127.0.0.1:0")
        assert server.stdout is not None
        line = server.stdout.readline()
        assert "ready in" in line, line
        self.url = line.split(": ", 1)[1].strip()
        self.client: Client = kubeconfig.client(self.kubeconfig, "tests")
        self._wherry("hollow", "--kubeconfig", str(self.kubeconfig), "--nodes", "2")
        self.until(lambda: len(self.client.list("nodes").items) == 2, "two nodes have registered")

    def environment(self, home: Path) -> dict[str, str]:
        """What a client program finds the cluster by."""
        return os.environ | {"KUBECONFIG": str(self.kubeconfig), "HOME": str(home)}

    def send(self, method: str, path: str, body: Object | None = None) -> Object:
        """The answer to a request of the administrator; a PATCH is a merge patch."""
        media = "application/merge-patch+json" if method == "PATCH" else "application/json"
        answer: Object = orjson.loads(self.client.raw(method, path, orjson.dumps(body) if body else None, media))
        return answer

    def found(self, path: str) -> bool:
        """Whether there is something at a path."""
        try:
            self.send("GET", path)
        except NotFound:
            return False
        return True

    def tls_context(self) -> ssl.SSLContext:
        """TLS as the administrator."""
        document = yaml.safe_load(self.kubeconfig.read_text())
        user, server = document["users"][0]["user"], document["clusters"][0]["cluster"]
        for name, source, key in (
            ("ca", server, "certificate-authority-data"),
            ("crt", user, "client-certificate-data"),
            ("key", user, "client-key-data"),
        ):
            (self.directory / f"admin.{name}").write_bytes(base64.b64decode(source[key]))
        context = ssl.create_default_context(cafile=str(self.directory / "admin.ca"))
        context.load_cert_chain(str(self.directory / "admin.crt"), str(self.directory / "admin.key"))
        return context

    def _wherry(self, *arguments: str) -> subprocess.Popen[str]:
        log = (self.directory / f"{arguments[0]}.log").open("w")
        command = [sys.executable, "-m", "control.cli.main", *arguments]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
        self._processes.append(process)
        return process

    def namespace(self, name: str) -> str:
        """A new namespace with its default service account; its name."""
        self.client.create("namespaces", {"metadata": {"name": name}})
        accounts = lambda: [one["metadata"]["name"] for one in self.client.list("serviceaccounts", name).items]  # noqa: E731
        self.until(lambda: "default" in accounts(), f"namespace {name} has a service account")
        return name

    def until(self, holds: Callable[[], object], what: str, seconds: float = _PATIENCE) -> None:
        """Wait until `holds()`; fail with `what` was waited for."""
        deadline = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < deadline, f"waited {seconds:.0f} s in vain: {what}"
            time.sleep(0.05)

    def close(self) -> None:
        """End both processes and what they started."""
        for process in reversed(self._processes):
            process.terminate()
        for process in self._processes:
            try:
                process.wait(30)
            finally:
                process.kill()
                process.wait()
                if process.stdout is not None:
                    process.stdout.close()


class Program:
    """A command-line client with the cluster's kubeconfig and a namespace of its own."""

    def __init__(self, path: Path, cluster: ClientCluster, namespace: str, home: Path) -> None:
        self.path = path
        self._namespace = namespace
        self.home = home
        self._environment = cluster.environment(home)

    def run(self, *words: str, given: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
        """The finished process, whatever its exit status."""
        return subprocess.run(
            self._line(*words),
            input=given, capture_output=True, text=True, timeout=90, check=False, cwd=self.home,
            env=self._environment | environment,
        )  # fmt: skip

    def started(self, *words: str) -> subprocess.Popen[str]:
        """A run under way."""
        return subprocess.Popen(
            self._line(*words), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            cwd=self.home, env=self._environment,
        )  # fmt: skip

    def _line(self, *words: str) -> list[str]:
        return [str(self.path), "--namespace", self._namespace, *words]

    def __call__(self, *words: str, given: str = "", **environment: str) -> str:
        """What a successful run printed."""
        done = self.run(*words, given=given, **environment)
        assert done.returncode == 0, f"{' '.join(words)}: {done.stderr or done.stdout}"
        return done.stdout

    def refused(self, *words: str, given: str = "") -> str:
        """What a refused run said."""
        done = self.run(*words, given=given)
        assert done.returncode != 0, f"{' '.join(words)} was not refused: {done.stdout}"
        return done.stderr
