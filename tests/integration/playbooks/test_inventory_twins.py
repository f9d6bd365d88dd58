"""`wherry inventory` prints what `ansible-inventory` prints for the same files."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]

BIN = Path(sys.executable).parent

INI = """\
lonely ansible_host=10.0.0.9 number=7 text="two words" flag=True nothing=None list=[1,2] # a comment
[web]
web[1:3].example.com ansible_port=2222
web-[a:c] tier='front end'
10.1.0.[10:12]
[db]
db01 ansible_user=postgres
db[02:04]
host:2200
[db:vars]
engine=postgres
size=10
path=/a=b
[site:children]
web
db
[site:vars]
level=site
ratio=1.5
[other]
web1.example.com override=other
[other:vars]
ansible_group_priority=10
level=other
"""
YAML = """\
all:
  vars: {shared: 1, nested: {a: [1, 2], b: ~}}
  hosts:
    first:
    second: {ansible_host: 10.0.0.2, when: 2024-01-02, yes_no: yes, octal: 0644}
  children:
    group_a:
      vars: {level: a, only_a: true}
      hosts:
        "node[1:3]": {ranged: true}
        second: {more: x}
      children:
        inner:
          hosts: {deep: {}}
          vars: {level: inner}
    group_b:
      hosts: {node2: , other: }
      vars: {level: b}
    empty: {}
ungrouped:
  hosts: {stray: {lost: true}}
"""
PROGRAM = """#!/bin/sh
cat <<'END'
{"dynamic": {"hosts": ["d1", "d2"], "vars": {"from": "program"}, "children": ["below"]},
 "below": ["d3"], "alone": {}, "its-own": {"a": 1}, "_meta": {"hostvars": {"d1": {"number": 1}, "d3": {"list": [1]}}}}
END
"""


def _files(directory: Path) -> dict[str, list[str]]:
    """The sources of each case."""
    for name, text in {
        "hosts.ini": INI,
        "hosts.yml": YAML,
        "program": PROGRAM,
        "directory/01-hosts": INI,
        "directory/02.yml": YAML,
        "group_vars/all.yml": "from_all: {{ 1 }}\n".replace("{{ 1 }}", "1"),
        "group_vars/site/one.yml": "from_site: [a, b]\nlevel: overridden\n",
        "group_vars/site/two.yaml": "from_two: 2\n",
        "group_vars/group_a.json": '{"from_json": {"x": true}}',
        "host_vars/second.yml": "own: yes\nshared: 2\n",
        "host_vars/db01/main.yml": "size: 20\n",
    }.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (directory / "program").chmod(0o755)
    return {
        "ini": ["hosts.ini"],
        "yaml": ["hosts.yml"],
        "program": ["program"],
        "directory": ["directory"],
        "merged": ["hosts.ini", "hosts.yml", "program"],
        "names": ["a,b.example.com,10.0.0.1,"],
    }


def _both(directory: Path, sources: list[str], *words: str) -> tuple[str, str]:
    given = [word for source in sources for word in ("-i", source)]
    environment = {**os.environ, "ANSIBLE_HOME": str(directory / "ansible"), "ANSIBLE_NOCOLOR": "1"}
    outputs = []
    for command in ([BIN / "ansible-inventory"], [BIN / "wherry", "inventory"]):
        done = subprocess.run(
            [*command, *given, *words], cwd=directory, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        outputs.append(done.stdout.strip())
    return outputs[0], outputs[1]


def _unordered(value: Any) -> Any:
    """JSON without an order of groups: Ansible's own comes from a set in places."""
    if isinstance(value, dict):
        found = {key: _unordered(item) for key, item in value.items() if key != "_meta"}
        meta = value.get("_meta", {}).get("hostvars")
        return {**found, **({"hostvars": meta} if meta else {})}
    return sorted(value, key=str) if isinstance(value, list) else value


@pytest.mark.parametrize("case", ["ini", "yaml", "program", "directory", "merged", "names"])
def test_list_and_graph(case: str, tmp_path: Path) -> None:
    sources = _files(tmp_path)[case]
    expected, found = _both(tmp_path, sources, "--list")
    assert _unordered(json.loads(found)) == _unordered(json.loads(expected))
    expected, found = _both(tmp_path, sources, "--graph")
    assert sorted(found.splitlines()) == sorted(expected.splitlines())


@pytest.mark.parametrize(("case", "host"), [("ini", "web1.example.com"), ("merged", "second"), ("ini", "db01")])
def test_host(case: str, host: str, tmp_path: Path) -> None:
    expected, found = _both(tmp_path, _files(tmp_path)[case], "--host", host)
    assert json.loads(found) == json.loads(expected)


@pytest.mark.parametrize("words", [(), ("--export",), ("--limit", "web")], ids=["whole", "export", "limit"])
def test_the_yaml_of_the_list_is_an_inventory_again(words: tuple[str, ...], tmp_path: Path) -> None:
    expected, found = _both(tmp_path, _files(tmp_path)["merged"], "--list", "--yaml", *words)
    assert yaml.safe_load(found) == yaml.safe_load(expected)


def test_export_keeps_variables_where_they_were_said(tmp_path: Path) -> None:
    expected, found = _both(tmp_path, _files(tmp_path)["merged"], "--list", "--export")
    assert _unordered(json.loads(found)) == _unordered(json.loads(expected))
