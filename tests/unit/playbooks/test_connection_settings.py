"""What a host's variables say about reaching it."""

from __future__ import annotations

from typing import Any

import pytest

from playbooks.engine.connection.settings import become, settings
from playbooks.errors import PlaybookError

pytestmark = pytest.mark.unit


CASES: list[tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = [
    ({}, {}, {"kind": "ssh", "address": "h", "port": None, "user": None, "host_key_checking": True}),
    ({"ansible_host": "10.0.0.1", "ansible_port": "2222"}, {}, {"address": "10.0.0.1", "port": 2222}),
    ({"ansible_user": "a"}, {"remote_user": "b"}, {"user": "a"}),
    ({}, {"remote_user": "b", "port": 23}, {"user": "b", "port": 23}),
    ({"ansible_connection": "local"}, {}, {"kind": "local"}),
    ({"ansible_ssh_common_args": "-o Port=24 -oUser=c"}, {}, {"port": 24, "user": "c"}),
    ({"ansible_host_key_checking": "false"}, {}, {"host_key_checking": False}),
    (
        {
            "ansible_ssh_common_args": "-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null",
            "ansible_ssh_extra_args": "-J jump -o ControlMaster=auto",
        },
        {},
        {
            "ssh_options": (
                ("proxyjump", "jump"), ("stricthostkeychecking", "no"), ("userknownhostsfile", "/dev/null"),
            )
        },
    ),
]  # fmt: skip


@pytest.mark.parametrize(("variables", "overrides", "expected"), CASES)
def test_settings(variables: dict[str, Any], overrides: dict[str, Any], expected: dict[str, Any]) -> None:
    found = settings("h", variables, overrides)
    assert {name: getattr(found, name) for name in expected} == expected


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"ansible_connection": "winrm"}, "ansible_connection is 'winrm'"),
        ({"ansible_port": "many"}, "ansible_port is 'many', not a number"),
        ({"ansible_ssh_common_args": "-o Tunnel=yes"}, "ssh option 'tunnel'"),
        ({"ansible_ssh_common_args": "--strange"}, "'--strange'"),
    ],
)
def test_what_cannot_be_used_is_said(variables: dict[str, Any], message: str) -> None:
    with pytest.raises(PlaybookError, match=message):
        settings("h", variables, {})


def test_become_takes_variables_over_keywords_and_hides_the_password() -> None:
    assert become({}, {"become": False}) is None
    found = become({"ansible_become_user": "app", "ansible_become_password": "secret"}, {"become": True})
    assert found is not None and found.user == "app" and "secret" not in repr(found)
