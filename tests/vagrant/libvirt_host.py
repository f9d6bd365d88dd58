"""A libvirt of the test's own, in namespaces of its own, so that virtual machines never meet the machine's links.

Invariant: all processes live in one PID namespace, and the mounts in one mount namespace: ending its first process ends
everything, virtual machines included.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

_SETUP = """
set -eu
for directory in /etc/libvirt /var/lib/libvirt /var/cache/libvirt /run/libvirt; do
    mount --bind "$STATE$directory" "$directory"
done
mount --bind "$STATE/passwd" /etc/passwd
mount --bind "$STATE/group" /etc/group
virtlogd &
libvirtd &
# The first process of the namespace must reap what is orphaned, or libvirt waits a minute for each ended machine.
wait $!
"""
_QEMU = """
user = "root"
group = "root"
dynamic_ownership = 0
security_driver = "none"
cgroup_controllers = []
namespaces = []
stdio_handler = "file"
"""
# What the package of libvirt as a system service would add.
_ACCOUNTS = {
    "passwd": ["libvirt-qemu:x:64055:64055::/:/usr/sbin/nologin"],
    "group": ["kvm:x:64054:", "libvirt-qemu:x:64055:"],
}
_POOL = "<pool type='dir'><name>default</name><target><path>/var/lib/libvirt/images</path></target></pool>"


@dataclass
class LibvirtHost:
    """libvirtd and what it runs; `directory` keeps its files and Vagrant's."""

    directory: Path
    name: str
    environment: Mapping[str, str]
    process: subprocess.Popen[bytes] | None = None
    _made: list[Path] = field(default_factory=list)

    def start(self) -> None:
        """Make the namespaces and start libvirtd in them; returns once it answers."""
        state = self.directory / "libvirt"
        for directory in ("/etc/libvirt", "/var/lib/libvirt", "/var/cache/libvirt", "/run/libvirt"):
            (state / directory[1:]).mkdir(parents=True)
            if not Path(directory).exists():
                Path(directory).mkdir(parents=True)
                self._made.append(Path(directory))
        (state / "etc/libvirt/qemu.conf").write_text(_QEMU)
        (state / "var/lib/libvirt/images").mkdir()
        for name, entries in _ACCOUNTS.items():
            text = Path("/etc", name).read_text()
            known = {line.split(":")[0] for line in text.splitlines()}
            missing = [entry for entry in entries if entry.split(":")[0] not in known]
            (state / name).write_text(text + "".join(f"{entry}\n" for entry in missing))
        _run("ip", "netns", "add", self.name)
        _run("ip", "-n", self.name, "link", "set", "lo", "up")
        self.process = subprocess.Popen(
            ["ip", "netns", "exec", self.name, "unshare", "--mount", "--propagation", "private", "--pid", "--fork",
             "--kill-child", "--mount-proc", "sh", "-c", _SETUP],
            env={**os.environ, "STATE": str(state)},
            stdout=(self.directory / "libvirtd.log").open("wb"), stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        self._wait_for_answer()
        pool = self.directory / "pool.xml"
        pool.write_text(_POOL)
        self.run("virsh", "pool-define", str(pool))
        self.run("virsh", "pool-start", "default")

    def run(self, *words: str, check: bool = True, timeout: float = 3000, cwd: Path | None = None) -> str:
        """What a command in the namespaces writes; a failure shows it."""
        done = subprocess.run(
            [*self._enter(cwd), *words], capture_output=True, text=True, timeout=timeout, check=False,
            env={**os.environ, **self.environment}, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        if check and done.returncode:
            raise AssertionError(
                f"{' '.join(words)}: exit {done.returncode}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
            )
        return done.stdout + done.stderr

    def stop(self) -> None:
        """End everything that runs here and remove the namespaces."""
        if self.process is not None:
            self.process.terminate()
            for pid in _children(self.process.pid):
                os.kill(pid, 9)
            self.process.wait(30)
        _run("ip", "netns", "delete", self.name)
        for path in reversed(self._made):
            shutil.rmtree(path)

    def _enter(self, cwd: Path | None) -> Sequence[str]:
        assert self.process is not None
        first = _children(self.process.pid)[0]
        return ["nsenter", "--target", str(first), "--net", "--mount", "--pid", f"--wdns={cwd or Path.cwd()}"]

    def _wait_for_answer(self) -> None:
        deadline = time.monotonic() + 60
        while True:
            try:
                self.run("virsh", "uri", timeout=20)
            except (AssertionError, IndexError) as error:
                log = (self.directory / "libvirtd.log").read_text()
                assert time.monotonic() < deadline, f"libvirtd does not answer: {error}\n{log}"
                time.sleep(0.2)
            else:
                return


def _children(pid: int) -> list[int]:
    """The processes that a process started and that run, the oldest first."""
    text = "".join(task.read_text() for task in Path(f"/proc/{pid}/task").glob("*/children"))
    return [int(word) for word in text.split()]


def _run(*words: str) -> None:
    subprocess.run(words, check=True, capture_output=True)
