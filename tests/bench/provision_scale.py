"""How provisioning grows with its hosts: many hosts at once, and the cluster's own playbook from bare to unchanged.

    python tests/bench/provision_scale.py [--hosts 100] [--peers VENV] [--only hosts|cluster]

Many hosts: so many sshd, each with a temporary directory and a helper cache of its own, in one network namespace with
nothing else in it; facts and ten small tasks, with seconds, processor seconds and the memory of the engine. The same by
ansible-core if VENV has it. Cluster: a lab of four bare hosts, of which three become a cluster, then the same again
with nothing to do, then the fourth joins; the bundle and the images are packed before, as they are kept.
Needs root.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import yaml
from provision_bench import ROOT, Bench, Timed, ansible_environment, cleaning, timed

WHERRY = Path(sys.executable).parent / "wherry"
NAMESPACE = "provision-bench"
LAB = "provision-bench"


def address(number: int) -> str:
    """The loopback address of one of many hosts, inside the namespace."""
    return f"127.77.{number // 250}.{number % 250 + 1}"


@contextmanager
def many_hosts(count: int, scratch: Path) -> Iterator[Path]:
    """So many running sshd; gives their inventory."""
    for name in ("key", "host_key"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", scratch / name], check=True)
    shutil.copy(scratch / "key.pub", scratch / "authorized_keys")
    public = " ".join((scratch / "host_key.pub").read_text().split()[:2])
    (scratch / "known_hosts").write_text("".join(f"{address(n)} {public}\n" for n in range(count)))
    Path("/run/sshd").mkdir(exist_ok=True)
    subprocess.run(["ip", "netns", "add", NAMESPACE], check=True)
    servers = []
    try:
        subprocess.run(["ip", "-n", NAMESPACE, "link", "set", "lo", "up"], check=True)
        servers = [_server(n, scratch) for n in range(count)]
        yield _inventory(count, scratch)
    finally:
        for server in servers:
            server.terminate()
        for server in servers:
            server.wait()
        subprocess.run(["ip", "netns", "del", NAMESPACE], check=True)


def _server(number: int, scratch: Path) -> subprocess.Popen[bytes]:
    own = scratch / f"host{number}"
    own.mkdir()
    config = scratch / f"sshd_config.{number}"
    config.write_text(
        f"ListenAddress {address(number)}:22\nHostKey {scratch}/host_key\n"
        f"AuthorizedKeysFile {scratch}/authorized_keys\n"
        "StrictModes no\nPermitRootLogin yes\nUsePAM no\nPidFile none\nMaxStartups 100\nMaxSessions 100\n"
        f"SetEnv XDG_CACHE_HOME={own}\nSubsystem sftp internal-sftp\n"
    )
    enter = ["ip", "netns", "exec", NAMESPACE, "unshare", "--mount", "sh", "-c"]
    script = f'mkdir -p {own}/tmp /tmp/bench-own && mount --bind {own}/tmp /tmp/bench-own && exec "$@"'
    sshd = ["/usr/sbin/sshd", "-D", "-f", str(config), "-E", str(own / "log")]
    return subprocess.Popen([*enter, script, "sh", *sshd])


def _inventory(count: int, scratch: Path) -> Path:
    hosts = {
        f"host{n}": {
            "ansible_host": address(n),
            "ansible_user": "root",
            "ansible_ssh_private_key_file": str(scratch / "key"),
            "ansible_python_interpreter": "/usr/bin/python3",
            "ansible_ssh_common_args": f"-o UserKnownHostsFile={scratch / 'known_hosts'}",
        }
        for n in range(count)
    }
    path = scratch / "inventory.yml"
    path.write_text(yaml.safe_dump({"all": {"hosts": hosts}}))
    return path


def measure_hosts(count: int, peers: Path) -> None:
    """Facts and ten tasks on many hosts."""
    with tempfile.TemporaryDirectory(prefix="provision-scale-") as name, many_hosts(count, Path(name)) as inventory:
        bench = Bench(inventory, peers, Path(name), 10, directory="/tmp/bench-own", facts=True)
        inside = ["ip", "netns", "exec", NAMESPACE]
        run = [*inside, WHERRY, "playbook", bench.playbook(), "-i", inventory, "-f", "20"]
        base = timed(run)
        _tell(f"wherry, {count} hosts", base)
        _tell("wherry, again", timed(run))
        program = peers / "bin" / "ansible-playbook"
        if program.exists():
            timed([*inside, WHERRY, "playbook", cleaning(bench), "-i", inventory])
            command = [*inside, program, bench.playbook(), "-i", inventory]
            _tell("ansible-core", timed(command, ansible_environment(bench)), base)


def measure_cluster() -> None:
    """From bare hosts to Ready, again, and one node more."""
    lab = ROOT / ".lab" / LAB
    timed([WHERRY, "lab", "up", "--name", LAB, "--workers", "3", "--hosts-only"])
    try:
        whole = yaml.safe_load((lab / "inventory.yml").read_text())
        last = whole["all"]["children"]["workers"]["hosts"].pop("node3")
        inventory = lab / "three.yml"
        inventory.write_text(yaml.safe_dump(whole))
        subprocess.run([sys.executable, "-c", "from control.cli import up; up.prepare(print)"], cwd=ROOT, check=True)
        up = [WHERRY, "up", "-i", inventory, "--kubeconfig", lab / "admin.kubeconfig"]
        _tell("three bare hosts to Ready", timed(up))
        _tell("three hosts, nothing to do", timed(up))
        _tell("three hosts, nothing to do", timed(up))
        whole["all"]["children"]["workers"]["hosts"]["node3"] = last
        inventory.write_text(yaml.safe_dump(whole))
        words = ["add-node", "-i", inventory, "--kubeconfig", lab / "admin.kubeconfig", "node3"]
        _tell("one node more, to Ready", timed([WHERRY, *words]))
    finally:
        timed([WHERRY, "lab", "down", "--name", LAB])


def _tell(what: str, found: Timed, base: Timed | None = None) -> None:
    ratio = f", {found.seconds / base.seconds:.1f} times as long as Wherry" if base else ""
    print(
        f"{what:28} {found.seconds:7.2f} s, {found.processor:7.2f} s of processor, {found.megabytes:4.0f} MB{ratio}",
        flush=True,
    )


def main(words: Sequence[str] | None = None) -> None:
    """Run both parts, or the one that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hosts", type=int, default=100)
    parser.add_argument("--peers", type=Path, default=Path(sys.prefix))
    parser.add_argument("--only", choices=["hosts", "cluster"])
    arguments = parser.parse_args(words)
    if os.geteuid() != 0:
        raise SystemExit("needs root: namespaces, sshd and lab hosts")
    if arguments.only != "cluster":
        measure_hosts(arguments.hosts, arguments.peers)
    if arguments.only != "hosts":
        measure_cluster()


if __name__ == "__main__":
    main()
