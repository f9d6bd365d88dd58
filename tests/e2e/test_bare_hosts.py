"""What hosts lack is told with its fix before anything is changed, or installed where apt can."""

from __future__ import annotations

import json
import os
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from labs import ROOT, Lab, eventually

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

ROLES = ROOT / "playbooks" / "roles"


@dataclass(frozen=True)
class Lack:
    """A host spoilt by a command of root's, and the finding and the fix that are told of it."""

    host: str
    spoil: str
    finding: str
    fix: str


def _fake(program: str, script: str) -> str:
    """A program that is found before the host's own, by users as by root."""
    path = f"/usr/local/bin/{program}"
    return f"printf '#!/bin/sh\\n%s\\n' '{script}' > {path} && chmod 755 {path}"


# What is spoilt by the inventory has no command. The last one takes away the way to spoil more.
LACKS = {
    "system": Lack("node1", _fake("uname", '[ "$1" = -s ] && echo Plan9 || exec /bin/uname "$@"'),
                   "it runs Plan9", "use a host with Linux"),
    "init": Lack("node1", "mv /run/systemd/system /run/systemd/away", "systemd does not run it", "such as Debian 12"),
    "python": Lack("node1", "mv /usr/bin/python3 /usr/bin/python3.away", "there is no python3", "install the package"),
    "old python": Lack("node2", _fake("python3", '[ "$1" = --version ] && echo Python 3.9.2 || exit 1'),
                       "its Python 3.9.2 is too old", "Python 3.11 or newer"),
    "memory": Lack("node2", "", r"it has \d+ MB of memory", "give it at least 99999999 MB"),
    "disk": Lack("node2", "", r"/var/lib has \d+ MB free", "free at least 99999999 MB there"),
    "clock": Lack("node1", _fake("date", "echo 1000000000"), r"its clock is off by -\d+ s", "systemd-timesyncd"),
    "own name": Lack("node1", "sed -i /node1/d /etc/hosts", "its own name node1 does not resolve",
                     "add it to /etc/hosts"),
    "name": Lack("node2", "", "the name control.invalid does not resolve", "set node_address to an address"),
    "address": Lack("node1", "", r"no interface has the node's address 192\.168\.56\.99",
                    "set node_address to one of: "),
    "shared": Lack("node1", "", r"node2 has the same node_address 192\.168\.56\.99", "an address of its own"),
    "port": Lack("node2", "systemd-run -q busybox nc -ll -p 10250 -e /bin/true && sleep 0.3", "port 10250 is taken",
                 "wherry-kubelet needs it"),
    "podman": Lack("node1", "mv /usr/bin/podman /usr/bin/podman.away", "there is no podman", "podman, crun and conmon"),
    "links": Lack("node2", _fake("unshare", "exit 1"), "its kernel makes no vxlan links", "load the module vxlan"),
    "packets": Lack("node2", "", "its kernel has no nf_tables", "load the module nf_tables"),
    "root": Lack("node1", "mv /etc/sudoers.d/lab /root", "lab cannot become root without a password", "NOPASSWD"),
}  # fmt: skip
INVENTORY = {
    "control": {"node_address": "control.invalid"},
    "node1": {"node_address": "192.168.56.99"},
    "node2": {"node_address": "192.168.56.99", "preflight_memory_mb": 99999999, "preflight_disk_mb": 99999999},
}


@pytest.fixture(scope="module")
def bare(kubectl: Path) -> Iterator[Lab]:
    """Three hosts without a cluster."""
    made = Lab(f"test-bare-{os.getpid()}", kubectl)
    try:
        made.lab("up", "--hosts-only")
        yield made
    finally:
        made.lab("down", check=False)


def _play(lab: Lab, directory: Path, role: str, hosts: str, **variables: Any) -> tuple[int, str]:
    """How one of Wherry's roles ends on hosts of the lab, and all that is shown."""
    play = {"hosts": hosts, "gather_facts": False, "vars": variables, "roles": [str(ROLES / role)]}
    path = directory / f"{role}.yml"
    path.write_text(yaml.safe_dump([play]))
    inventory = yaml.safe_load(lab.inventory.read_text())
    for group in inventory["all"]["children"].values():
        for name, about in group["hosts"].items():
            about.update(INVENTORY[name] if role == "preflight" else {})
    (directory / "inventory.yml").write_text(yaml.safe_dump(inventory))
    become = () if role == "preflight" else ("--become",)
    done = lab.wherry("playbook", str(path), "-i", str(directory / "inventory.yml"), *become, check=False)
    return done.returncode, done.stdout + done.stderr


REPOSITORY = r"""
mkdir -p /srv/repo/build/DEBIAN /srv/repo/build/usr/bin && cd /srv/repo
printf 'Package: conmon\nVersion: 99\nArchitecture: all\nMaintainer: x\nDescription: x\n' > build/DEBIAN/control
printf '#!/bin/sh\n' > build/usr/bin/conmon && chmod 755 build/usr/bin/conmon && dpkg-deb -b build conmon.deb
{ cat build/DEBIAN/control; echo "Filename: ./conmon.deb"; echo "Size: $(stat -c %s conmon.deb)"
  echo "SHA256: $(sha256sum conmon.deb | cut -d' ' -f1)"; echo; } > Packages
echo 'deb [trusted=yes] file:/srv/repo ./' > /etc/apt/sources.list.d/repo.list
"""


def test_what_a_host_lacks_is_installed_by_its_apt(bare: Lab, tmp_path: Path) -> None:
    needed = {"packages_needed": ["conmon=conmon", "nft=nftables"]}
    assert (
        "packages"
        not in _play(bare, tmp_path, "packages", "control", **needed)[1].split("changed=0")[0].split("PLAY RECAP")[-1]
    )
    bare.ssh(
        "control", "dpkg --purge --force-depends conmon; rm -rf /etc/apt/sources.list*; mkdir /etc/apt/sources.list.d"
    )
    status, said = _play(bare, tmp_path, "packages", "control", **needed)
    assert status == 2
    assert re.search(r"cannot install conmon: .*; give the host access to a package mirror, or install them", said), (
        said
    )
    bare.ssh("control", REPOSITORY)
    status, said = _play(bare, tmp_path, "packages", "control", **needed)
    assert (status, "changed=1" in said) == (0, True), said
    assert bare.ssh("control", "command -v conmon").strip() == "/usr/bin/conmon"
    assert "changed=0" in _play(bare, tmp_path, "packages", "control", **needed)[1]


def test_a_full_disk_fails_the_task_that_meets_it_and_leaves_no_part_of_a_file(bare: Lab, tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(os.urandom(2 << 20))
    playbook = tmp_path / "play.yml"
    task = {"name": "too large", "copy": {"src": "large", "dest": "/mnt/large"}}
    playbook.write_text(yaml.safe_dump([{"hosts": "control", "gather_facts": False, "tasks": [task]}]))
    bare.ssh("control", "mount -t tmpfs -o size=1m,mode=1777 tmpfs /mnt")
    done = bare.wherry("playbook", str(playbook), "-i", str(bare.inventory), "--become", check=False)
    left = bare.ssh("control", "ls -A /mnt; umount /mnt")
    assert (done.returncode, left) == (2, ""), done.stdout
    assert re.search(r"control: task 'too large' .* failed: .*No space left on device", done.stdout), done.stdout


CONTAINERD = ("/usr/bin/containerd", "/usr/bin/containerd-shim-runc-v2", "/usr/bin/ctr", "/usr/sbin/runc",
              "/lib/systemd/system/containerd.service")  # fmt: skip


def test_a_host_runs_containers_by_containerd_where_its_inventory_says_so(bare: Lab, tmp_path: Path) -> None:
    if absent := [path for path in CONTAINERD if not Path(path).exists()]:
        pytest.skip(f"needs {', '.join(absent)}")
    files = [{"copy": {"src": path, "dest": path, "mode": "preserve"}, "name": path} for path in CONTAINERD]
    (tmp_path / "files.yml").write_text(yaml.safe_dump([{"hosts": "control", "gather_facts": False, "tasks": files}]))
    bare.wherry("playbook", str(tmp_path / "files.yml"), "-i", str(bare.inventory), "--become")
    (image,) = json.loads(bare.wherry("image", "build", "--json", "pause").stdout)
    words = {"node_runtime": "containerd", "wherry_images": [image]}
    status, said = _play(bare, tmp_path, "images", "control", **words)
    assert status == 0, said
    assert image["name"] in bare.ssh("control", "ctr --namespace k8s.io images list --quiet").split()
    assert "changed=0" in _play(bare, tmp_path, "images", "control", **words)[1]
    bare.ssh("control", "systemctl stop containerd; rm -rf /var/lib/containerd")
    status, said = _play(bare, tmp_path, "images", "control", **(words | {"node_runtime": "docker"}))
    assert status == 2 and "node_runtime of control must be podman or containerd, and is docker" in said


CUT = """
- hosts: workers
  gather_facts: false
  become: true
  tasks:
    - name: cut off
      shell: touch /var/tmp/begun /run/begun; [ "$(hostname)" != node1 ] || exec sleep 120
      ignore_unreachable: true
    - name: back
      wait_for_connection: {timeout: 100}
    - name: with a new /run and the old disk
      shell: |
        [ -e /var/tmp/begun ] && { [ ! -e /run/begun ] || [ "$(hostname)" != node1 ]; }
"""


def test_a_play_goes_on_with_a_host_that_was_rebooted_under_it(bare: Lab, tmp_path: Path) -> None:
    (tmp_path / "play.yml").write_text(CUT)
    inventory = yaml.safe_load(bare.inventory.read_text())
    node = inventory["all"]["children"]["workers"]["hosts"]["node1"]
    node["ansible_ssh_common_args"] += " -o ServerAliveInterval=1 -o ServerAliveCountMax=5"
    (tmp_path / "inventory.yml").write_text(yaml.safe_dump(inventory))

    def reboot() -> None:
        eventually(lambda: bool(bare.ssh("node1", "ls /run/begun", check=False)), 60, "the task begins")
        bare.lab("power-off", "node1")
        bare.lab("power-on", "node1")

    thread = threading.Thread(target=reboot)
    thread.start()
    done = bare.wherry("playbook", str(tmp_path / "play.yml"), "-i", str(tmp_path / "inventory.yml"), check=False)
    thread.join()
    assert done.returncode == 0, done.stdout
    assert re.search(r"unreachable: \[node1\].*the connection ended while module shell ran", done.stdout), done.stdout
    assert re.search(r"^node1 +: ok=3 .*ignored=1", done.stdout, re.MULTILINE), done.stdout
    assert re.search(r"^node2 +: ok=3 .*ignored=0", done.stdout, re.MULTILINE), done.stdout


@pytest.fixture(scope="module")
def told(bare: Lab, tmp_path_factory: pytest.TempPathFactory) -> str:
    """What is told of hosts with every lack at once; not even a file is written there."""
    for lack in LACKS.values():
        if lack.spoil:
            bare.ssh(lack.host, lack.spoil)
    status, said = _play(bare, tmp_path_factory.mktemp("told"), "preflight", "control:workers", install_packages=False)
    assert status == 2
    assert bare.ssh("node2", "test -e /opt/wherry || echo none").strip() == "none"
    return said


@pytest.mark.parametrize("lack", LACKS.values(), ids=LACKS)
def test_a_lack_is_told_with_its_fix(lack: Lack, told: str) -> None:
    assert re.search(rf"{lack.host} +{lack.finding} .*{re.escape(lack.fix)}", told), told
