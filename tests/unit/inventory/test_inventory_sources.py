"""Inventories of all kinds become one value; what is wrong names file and line."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from inventory import vault
from inventory.errors import InventoryError
from inventory.sources import load

pytestmark = pytest.mark.unit

INI = """
lone ansible_host=10.0.0.9 flag=True words="a b" numbers='[1, 2]' bytes="b'x'" dots='...' set='{2, 1}'
[web]
web[01:03].example port=80
mail:2222
[db]
db-[a:c]
[web:vars]
color=red
number=5
[site:children]
web
db
[site:vars]
color=blue
place=here
"""

YAML = """
all:
  vars: {place: everywhere}
  hosts:
    lone:
  children:
    site:
      children:
        web:
          vars: {color: red}
          hosts:
            web[1:2]: {port: 80}
        db: {hosts: {db1: {}}}
"""


def written(directory: Path, **files: str) -> Path:
    for name, text in files.items():
        path = directory / name.replace("__", "/").replace("_dot_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return directory


def test_ini_has_ranges_children_variables_and_typed_values(tmp_path: Path) -> None:
    inventory = load([written(tmp_path, hosts=INI) / "hosts"])
    assert list(inventory.hosts_of("site")) == [
        "web01.example", "web02.example", "web03.example", "mail", "db-a", "db-b", "db-c",
    ]  # fmt: skip
    assert inventory.host_variables("web02.example") == {"port": 80, "color": "red", "number": 5, "place": "here"}
    assert inventory.host_variables("mail")["ansible_port"] == 2222
    assert inventory.host_variables("lone") == {
        "ansible_host": "10.0.0.9", "flag": True, "words": "a b", "numbers": [1, 2],
        "bytes": "x", "dots": "...", "set": [1, 2],
    }  # fmt: skip
    assert inventory.groups["ungrouped"].hosts == ("lone",)


def test_yaml_groups_nest_and_inner_variables_win(tmp_path: Path) -> None:
    inventory = load([written(tmp_path, hosts_dot_yml=YAML) / "hosts.yml"])
    assert inventory.host_variables("web2") == {"place": "everywhere", "color": "red", "port": 80}
    assert inventory.groups_of("web1") == ["all", "site", "web"]
    assert inventory.hosts_of("all") == ("lone", "db1", "web1", "web2") or set(inventory.hosts_of("all")) == {
        "lone", "web1", "web2", "db1",
    }  # fmt: skip


def test_later_sources_add_and_override(tmp_path: Path) -> None:
    written(tmp_path, one="[web]\na x=1 y=1\n", two_dot_yml="web:\n  hosts:\n    a: {y: 2}\n    b:\n")
    inventory = load([tmp_path / "one", tmp_path / "two.yml"])
    assert inventory.host_variables("a") == {"x": 1, "y": 2}
    assert inventory.hosts_of("web") == ("a", "b")


def test_variable_directories_rank_between_groups_and_hosts(tmp_path: Path) -> None:
    written(
        tmp_path,
        hosts="[web]\na own=line\n[web:vars]\ncolor=file\n",
        group_vars__all_dot_yml="color: all\nbase: all\nown: all\n",
        group_vars__web__one_dot_yml="color: directory\n",
        group_vars__web__two_dot_json='{"json": 1}',
        host_vars__a_dot_yml="last: host\n",
    )
    assert load([tmp_path / "hosts"]).host_variables("a") == {
        "color": "directory", "base": "all", "own": "line", "json": 1, "last": "host",
    }  # fmt: skip


def test_a_program_answers_with_json(tmp_path: Path) -> None:
    program = tmp_path / "dynamic"
    program.write_text(
        '#!/bin/sh\necho \'{"web": {"hosts": ["a"], "vars": {"v": 1}}, "all": {"children": ["web"]},'
        ' "_meta": {"hostvars": {"a": {"own": 2}}}}\'\n'
    )
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    assert load([program]).host_variables("a") == {"v": 1, "own": 2}


def test_vagrant_machines_carry_their_connection(tmp_path: Path) -> None:
    text = """Host node1
  HostName 127.0.0.1
  User vagrant
  Port 2200
  UserKnownHostsFile /dev/null
  StrictHostKeyChecking no
  IdentityFile "/home/me/my keys/node1"
Host node2
  HostName 192.168.121.7
  Port 22
"""
    inventory = load([written(tmp_path, ssh_dot_config=text) / "ssh.config"])
    assert inventory.hosts_of("vagrant") == ("node1", "node2")
    variables = inventory.host_variables("node1")
    assert variables["ansible_port"] == 2200
    assert variables["ansible_ssh_private_key_file"] == "/home/me/my keys/node1"
    assert variables["ansible_ssh_common_args"] == "-o UserKnownHostsFile=/dev/null -o StrictHostKeyChecking=no"


def test_a_list_of_hosts_needs_no_file() -> None:
    inventory = load(["a,b[1:2],c:22,[::1]:23,"])
    assert inventory.hosts == {"a": {}, "b[1:2]": {}, "c": {"ansible_port": 22}, "::1": {"ansible_port": 23}}


def test_a_source_that_cannot_be_read_is_left_out(tmp_path: Path) -> None:
    inventory = load([tmp_path / "nowhere", "one,"])
    assert inventory.hosts_of("all") == ("one",)
    assert inventory.warnings[0].endswith("; this source is left out")


def test_the_first_file_of_a_name_says_its_variables(tmp_path: Path) -> None:
    for name, text in {"all/a.yml": "x: 1", "all.yml": "x: 2\ny: 2", "web.yml": "z: 3", "web.json": "{}"}.items():
        path = tmp_path / "group_vars" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (tmp_path / "hosts").write_text("[web]\n[2001:db8::1]:22\n")
    assert load([tmp_path / "hosts"]).host_variables("2001:db8::1") == {"ansible_port": 22, "x": 1, "z": 3}


def test_vaults_open_with_their_password_only(tmp_path: Path) -> None:
    secret = vault.encrypt("word: hidden\n", b"password", b"s" * 32)
    inline = vault.encrypt("deep", b"password", b"t" * 32).replace("\n", "\n        ").rstrip()
    written(
        tmp_path,
        hosts_dot_yml=f"all:\n  hosts:\n    a:\n      own: !vault |\n        {inline}\n",
        group_vars__all=secret,
    )
    variables = load([tmp_path / "hosts.yml"], [b"other", b"password"]).host_variables("a")
    assert variables == {"word": "hidden", "own": "deep"}
    with pytest.raises(InventoryError, match="none of the vault passwords"):
        load([tmp_path / "hosts.yml"], [b"wrong"])


def test_a_vault_password_is_in_a_file_or_comes_from_a_program(tmp_path: Path) -> None:
    plain, program, client, failing = (tmp_path / name for name in ("plain", "program", "my-client", "failing"))
    plain.write_text("from file\n")
    for path, line in ((program, "echo from program"), (client, "echo $1 $2"), (failing, "exit 3")):
        path.write_text(f"#!/bin/sh\n{line}\n")
        path.chmod(0o755)
    assert [vault.secret(str(path)) for path in (plain, program)] == [b"from file", b"from program"]
    assert [vault.secret(f"dev@{path}") for path in (plain, client)] == [b"from file", b"--vault-id dev"]
    with pytest.raises(InventoryError, match="failing ended with status 3"):
        vault.secret(str(failing))
    with pytest.raises(InventoryError, match="gone: No such file"):
        vault.secret(str(tmp_path / "gone"))


BAD = [
    ("hosts.yml", "all:\n  hosts: [\n", r"hosts\.yml:3: not YAML"),
    ("hosts.yml", "- a\n- b\n", r"hosts\.yml:1: an inventory is a mapping"),
    ("hosts.yml", "", r"hosts\.yml:1: the inventory is empty"),
    ("hosts.yml", "all:\n  hsts:\n    a:\n", r"hosts\.yml:2: .*'hsts'"),
    ("hosts.yml", "all:\n  hosts:\n    a: 5\n", r"hosts\.yml:3: the variables of host 'a'"),
    ("hosts.yml", "all:\n  hosts:\n    a:\n    a:\n", r"hosts\.yml:4: the key 'a' stands here a second time"),
    ("hosts.yml", "a:\n  children:\n    b:\n      children:\n        a:\n", r"would contain itself"),
    ("hosts.yml", "all:\n  hosts:\n    n[5:1]:\n", r"hosts\.yml:3: host range 'n\[5:1\]'"),
    ("hosts", "[web]\na\n[site:children]\nwob\n", r"hosts:4: .*'wob', which nobody defines"),
    ("hosts", "[web:vars]\nx=1\n", r"hosts:1: section \[web:vars\]"),
    ("hosts", "[web:kids]\na\n", r"hosts:1: section \[web:kids\]"),
    ("hosts", "[web]\na novalue\n", r"hosts:2: expected name=value"),
    ("hosts", '[web]\na x="open\n', r"hosts:2: No closing quotation"),
]


@pytest.mark.parametrize(("name", "text", "message"), BAD)
def test_faults_name_file_and_line(tmp_path: Path, name: str, text: str, message: str) -> None:
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(InventoryError, match=message):
        load([path])


def test_a_missing_source_is_named() -> None:
    with pytest.raises(InventoryError, match="/nowhere/hosts: no such inventory"):
        load(["/nowhere/hosts"])
