"""What an ansible.cfg and the environment set, and which of them counts."""

from __future__ import annotations

from pathlib import Path

import pytest

from playbooks import configuration
from playbooks.errors import PlaybookError

pytestmark = pytest.mark.unit

TEXT = """[defaults]
inventory = hosts.yml, more
roles_path = shared/roles:/opt/roles
forks = 7
remote_user = deploy ; who
host_key_checking = False
log_path = run.log
gathering = smart
strategy = host_pinned
no_log = true
vault_identity_list = dev@dev.pw, ask@prompt
vault_password_file = all.pw
remote_port = 2222
[ssh_connection]
ssh_common_args = -J gate
[diff]
always = true
[privilege_escalation]
become = yes
"""


def load(directory: Path, **environment: str) -> configuration.Configuration:
    (directory / "ansible.cfg").write_text(TEXT)
    return configuration.load({"ANSIBLE_CONFIG": str(directory / "ansible.cfg"), **environment}, directory)


def test_a_file_sets_defaults_relative_to_itself(tmp_path: Path) -> None:
    found = load(tmp_path)
    assert found.inventory == (str(tmp_path / "hosts.yml"), str(tmp_path / "more"))
    assert found.roles_path == (str(tmp_path / "shared/roles"), "/opt/roles")
    assert (found.forks, found.remote_user, found.host_key_checking, found.become) == (7, "deploy", False, True)
    assert found.log_path == str(tmp_path / "run.log")
    assert (found.gathering, found.diff, found.force_handlers) == ("smart", True, False)
    assert (found.strategy, found.no_log) == ("free", True)
    assert found.vault_passwords == (f"dev@{tmp_path}/dev.pw", "ask@prompt", f"{tmp_path}/all.pw")
    assert found.variables == {"ansible_ssh_common_args": "-J gate", "ansible_port": "2222"}


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    found = load(tmp_path, ANSIBLE_FORKS="9", ANSIBLE_INVENTORY="a,b,", ANSIBLE_HOST_KEY_CHECKING="true")
    assert (found.forks, found.inventory, found.host_key_checking) == (9, ("a,b,",), True)


def test_a_file_that_everybody_may_write_beside_is_not_taken(tmp_path: Path) -> None:
    load(tmp_path)
    assert configuration.find({}, tmp_path) == tmp_path / "ansible.cfg"
    tmp_path.chmod(0o777)
    assert configuration.find({}, tmp_path) != tmp_path / "ansible.cfg"


def test_roles_are_looked_for_where_ansible_does(tmp_path: Path) -> None:
    (tmp_path / "ansible.cfg").touch()
    assert "/etc/ansible/roles" in configuration.load({"ANSIBLE_CONFIG": str(tmp_path)}, tmp_path).roles_path


@pytest.mark.parametrize("line", ["forks = many", "gathering = many", "strategy = many"])
def test_a_wrong_value_is_said_with_the_file(line: str, tmp_path: Path) -> None:
    (tmp_path / "ansible.cfg").write_text(f"[defaults]\n{line}\n")
    with pytest.raises(PlaybookError, match=r"ansible\.cfg: .*many"):
        configuration.load({"ANSIBLE_CONFIG": str(tmp_path / "ansible.cfg")}, tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[defaults\n", "cannot be read as a configuration: File contains no section headers"),
        ("[defaults]\nforks = x\n", "forks is 'x'; it must be a number"),
        ("[defaults]\nforks = inf\n", "forks is 'inf'; it must be a number"),
        ("[defaults]\nno_log = maybe\n", "no_log: 'maybe' is not a valid boolean"),
        ("[diff]\nalways = maybe\n", "always: 'maybe' is not a valid boolean"),
    ],
)
def test_what_is_wrong_is_told_in_one_line(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "ansible.cfg").write_text(text)
    with pytest.raises(PlaybookError) as told:
        configuration.load({}, tmp_path)
    assert message in str(told.value) and "\n" not in str(told.value)
