"""How fast playbooks run: Wherry, ansible-core with pipelining, the same with mitogen, and pyinfra, on the same hosts.

    wherry lab up --name bench --workers 9 --hosts-only
    python tests/bench/provision_bench.py --lab bench [--tasks 100] [--peers VENV]
    wherry lab down --name bench

VENV is a virtual environment with ansible-core, and mitogen and pyinfra if they install; who is missing is left out.
Each runs the same small tasks (a third commands, a third directories, a third files) twice: first everything changes,
then nothing does. Then a file of 10 MB goes to all hosts, by Wherry's copy and by scp in parallel. Many hosts and the
cluster's own playbook are measured by provision_scale.py.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
FILE_BYTES = 10 * 1024 * 1024


@dataclass
class Bench:
    """The lab's inventory, the peers' programs, and a directory for what is written on the way."""

    inventory: Path
    peers: Path
    scratch: Path
    tasks: int
    directory: str = "/tmp"
    facts: bool = False

    def playbook(self, strategy: str = "") -> Path:
        """The playbook of small tasks."""
        play: dict[str, object] = {
            "hosts": "all",
            "gather_facts": self.facts,
            "tasks": [self._task(n) for n in range(self.tasks)],
        }
        if strategy:
            play["strategy"] = strategy
        path = self.scratch / f"tasks{'-' + strategy if strategy else ''}.yml"
        path.write_text(yaml.safe_dump([play]))
        return path

    def _task(self, number: int) -> dict[str, object]:
        path = f"{self.directory}/bench/{number}"
        file = f"{self.directory}/bench-{number}"
        kinds: tuple[dict[str, object], ...] = (
            {"command": "true", "changed_when": False},
            {"file": {"path": path, "state": "directory", "mode": "0755"}},
            {"copy": {"content": f"file {number}\n", "dest": file, "mode": "0644"}},
        )
        return {"name": f"task {number}", **kinds[number % 3]}


@dataclass(frozen=True)
class Timed:
    """What a command took: seconds by the clock and of processor, and the most memory one of its processes had."""

    seconds: float
    processor: float
    megabytes: float


def timed(command: Sequence[str | Path], environment: Mapping[str, str] | None = None) -> Timed:
    """What a command takes. Raises SystemExit if it fails."""
    begun = time.monotonic()
    with tempfile.TemporaryFile() as output:
        child = subprocess.Popen(
            list(map(str, command)), env={**os.environ, **(environment or {})}, cwd=ROOT,
            stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
        )  # fmt: skip
        _, status, used = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.monotonic() - begun
        if child.returncode:
            output.seek(0)
            said = output.read().decode(errors="replace")
            raise SystemExit(f"{' '.join(map(str, command))}\n{said[-3000:]}")
    return Timed(seconds, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)


def wherry(bench: Bench) -> Callable[[], Timed]:
    """Wherry's own engine."""
    program = Path(sys.executable).parent / "wherry"
    return lambda: timed([program, "playbook", bench.playbook(), "-i", bench.inventory])


def ansible_environment(bench: Bench) -> dict[str, str]:
    """Ansible's settings, as fast as its documentation makes it."""
    return {
        "ANSIBLE_PIPELINING": "1",
        "ANSIBLE_FORKS": "20",
        "ANSIBLE_HOME": str(bench.scratch / "ansible"),
        "ANSIBLE_SSH_ARGS": "-o ControlMaster=auto -o ControlPersist=60s",
    }


def ansible(bench: Bench, strategy: str = "") -> Callable[[], Timed] | None:
    """ansible-core, with a strategy of a peer's if one is named; None if it is not installed."""
    program = bench.peers / "bin" / "ansible-playbook"
    if not program.exists():
        return None
    environment = ansible_environment(bench)
    if strategy:
        plugins = list(bench.peers.glob("lib/python3*/site-packages/ansible_mitogen/plugins/strategy"))
        if not plugins:
            return None
        environment["ANSIBLE_STRATEGY_PLUGINS"] = str(plugins[0])
    return lambda: timed([program, bench.playbook(strategy), "-i", bench.inventory], environment)


def pyinfra(bench: Bench) -> Callable[[], Timed] | None:
    """pyinfra with the same work in its own words; None if it is not installed."""
    program = bench.peers / "bin" / "pyinfra"
    if not program.exists():
        return None
    hosts = _hosts(bench.inventory)
    listed = [
        (
            name,
            {
                "ssh_hostname": about["ansible_host"],
                "ssh_port": about["ansible_port"],
                "ssh_user": about["ansible_user"],
                "ssh_key": about["ansible_ssh_private_key_file"],
                "ssh_known_hosts_file": str(bench.inventory.parent / "known_hosts"),
            },
        )
        for name, about in hosts.items()
    ]
    (bench.scratch / "hosts.py").write_text(f"hosts = {listed!r}\n")
    (bench.scratch / "deploy.py").write_text(
        "from io import StringIO\nfrom pyinfra.operations import files, server\n"
        f"for number in range({bench.tasks}):\n"
        "    if number % 3 == 0:\n        server.shell(commands=['true'])\n"
        "    elif number % 3 == 1:\n        files.directory(path=f'/tmp/bench/{number}', mode='755')\n"
        "    else:\n        files.put(src=StringIO(f'file {number}\\n'), dest=f'/tmp/bench-{number}', mode='644')\n"
    )
    return lambda: timed([program, "-y", bench.scratch / "hosts.py", bench.scratch / "deploy.py"])


def files(bench: Bench) -> dict[str, float]:
    """Seconds until a file of 10 MB is on all hosts."""
    source = bench.scratch / "payload"
    source.write_bytes(os.urandom(FILE_BYTES))
    play = {"hosts": "all", "gather_facts": False, "tasks": [{"copy": {"src": str(source), "dest": "/tmp/payload"}}]}
    path = bench.scratch / "file.yml"
    path.write_text(yaml.safe_dump([play]))
    found = {"wherry": timed([Path(sys.executable).parent / "wherry", "playbook", path, "-i", bench.inventory]).seconds}
    config = bench.inventory.parent / "ssh_config"
    script = "\n".join(f"scp -q -F {config} {source} {name}:/tmp/payload-scp &" for name in _hosts(bench.inventory))
    found["scp"] = timed(["sh", "-c", script + "\nwait"]).seconds
    return found


def _hosts(inventory: Path) -> dict[str, dict[str, object]]:
    groups = yaml.safe_load(inventory.read_text())["all"]["children"].values()
    return {name: about for group in groups for name, about in group["hosts"].items()}


def main() -> None:
    """Run everything that is installed, and print seconds, processor seconds and ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lab", default="bench")
    parser.add_argument("--tasks", type=int, default=100)
    parser.add_argument("--peers", type=Path, default=Path(sys.prefix))
    parser.add_argument("--only", nargs="+", help="these contenders: wherry ansible-core mitogen pyinfra file")
    arguments = parser.parse_args()
    inventory = ROOT / ".lab" / arguments.lab / "inventory.yml"
    with tempfile.TemporaryDirectory(prefix="provision-bench-") as scratch:
        bench = Bench(inventory, arguments.peers, Path(scratch), arguments.tasks)
        contenders = {
            "wherry": wherry(bench),
            "pyinfra": pyinfra(bench),
            "ansible-core": ansible(bench),
            "mitogen": ansible(bench, "mitogen_linear"),
        }
        base: dict[str, Timed] = {}
        for name, contender in contenders.items():
            if name == "wherry" or not arguments.only or name in arguments.only:
                _contend(name, contender, bench, base)
        if not arguments.only or "file" in arguments.only:
            moved = files(bench)
            print(f"10 MB to all hosts: wherry {moved['wherry']:.2f} s, scp {moved['scp']:.2f} s")


def _contend(name: str, contender: Callable[[], Timed] | None, bench: Bench, base: dict[str, Timed]) -> None:
    if contender is None:
        print(f"{name}: not installed")
        return
    timed([Path(sys.executable).parent / "wherry", "playbook", cleaning(bench), "-i", bench.inventory])
    try:
        for turn in ("first", "again"):
            found = contender()
            own = base.setdefault(turn, found)
            ratios = f"{found.seconds / own.seconds:.1f} and {found.processor / own.processor:.1f} times Wherry's"
            print(
                f"{name:13} {turn}: {found.seconds:7.2f} s, {found.processor:7.2f} s of processor: {ratios}", flush=True
            )
    except SystemExit as error:
        print(f"{name}: {error}")


def cleaning(bench: Bench) -> Path:
    """A playbook that takes away what the small tasks made."""
    path = bench.scratch / "clean.yml"
    where = bench.directory
    task = {"shell": f"rm -rf {where}/bench {where}/bench-*[0-9]"}
    path.write_text(yaml.safe_dump([{"hosts": "all", "gather_facts": False, "tasks": [task]}]))
    return path


if __name__ == "__main__":
    main()
