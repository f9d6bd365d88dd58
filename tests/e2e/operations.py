"""What the tests of a cluster's life need: another release, a load that counts failures, and a host's state."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

import urllib3
from labs import ROOT, Lab

WORKLOAD = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 3
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 20
      containers:
        - name: web
          image: localhost/wherry/demo:1
          ports: [{containerPort: 8080}]
          readinessProbe: {httpGet: {path: /, port: 8080}, periodSeconds: 1, timeoutSeconds: 5}
          lifecycle: {preStop: {exec: {command: [/bin/sh, -c, sleep 5]}}}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  type: NodePort
  selector: {app: web}
  ports: [{port: 80, targetPort: 8080, nodePort: 30080}]
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: web}
spec: {minAvailable: 2, selector: {matchLabels: {app: web}}}
"""

# Everything on a host's disk and in its kernel that Wherry could leave behind. Logs, caches and images are not: they
# are the host's own, so is Podman's mount of its storage, and reset keeps images unless it is asked.
_LOOK = r"""
skip="/proc /sys /run /tmp /dev /var/log /var/tmp /var/lib/containers /var/cache /var/lib/systemd /root/.ssh"
prune=$(for path in $skip; do printf -- '-path %s -o ' "$path"; done)
find / -xdev \( $prune -false \) -prune -o -printf 'path %y %m %p %l\n' | sort
find /etc -xdev -type f ! -name .updated -exec sha256sum {} + | sed 's/^/content /' | sort -k3
ip -brief link | awk '{print "link", $1}' | sort
ip route | sed 's/^/route /' | sort
nft list tables | sed 's/^/table /'
awk '$2 !~ "^/var/lib/containers" {print "mount", $2, $3}' /proc/self/mounts | sort
systemctl list-unit-files 'wherry*' --no-legend | sed 's/^/unit /'
ls /run/netns 2>/dev/null | sed 's/^/namespace /'
ls -d /run/wherry 2>/dev/null | sed 's/^/run /'
"""


def state(lab: Lab, host: str) -> set[str]:
    """A host's state, a line a fact."""
    return set(lab.ssh(host, _LOOK).splitlines())


def other_release(directory: Path) -> Path:
    """The previous commit's tree, marked so that it is another release in any case."""
    for commit in ("HEAD~1", "HEAD"):
        archive = subprocess.run(["git", "archive", commit], cwd=ROOT, capture_output=True, check=False)
        if archive.returncode == 0:
            break
    else:
        raise AssertionError("the tests need a git checkout to upgrade from")
    with tarfile.open(fileobj=BytesIO(archive.stdout)) as tar:
        tar.extractall(directory, filter="data")
    with (directory / "control" / "cli" / "errors.py").open("a") as module:
        module.write('\nOTHER_RELEASE = "marks this tree as another release"\n')
    return directory


def run_release(tree: Path, *words: str) -> None:
    """Run `wherry WORDS` from another tree."""
    command = [sys.executable, "-m", "control.cli.main", *words]
    done = subprocess.run(command, cwd=tree, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr


@dataclass
class Load:
    """Requests through a Service, one after the other; `failures` says which went wrong and how."""

    url: str
    answered: int = 0
    failures: list[str] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """Ask until the end."""
        pool = urllib3.PoolManager()
        while not self._stop.wait(0.03):
            try:
                page = pool.request("GET", self.url, timeout=10, retries=False, headers={"Connection": "close"})
                if page.status != 200:
                    self.failures.append(f"status {page.status}")
                self.answered += 1
            except urllib3.exceptions.HTTPError as error:
                self.failures.append(f"after {self.answered} answers: {error}")


@contextmanager
def constant_load(lab: Lab, host: str) -> Iterator[Load]:
    """A load while something else happens."""
    load = Load(f"http://{lab.address(host)}:30080/")
    thread = threading.Thread(target=load.run)
    thread.start()
    try:
        yield load
    finally:
        load._stop.set()
        thread.join()
