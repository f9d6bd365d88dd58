"""Pods that say which operating system they are for."""

from __future__ import annotations

from typing import Any

import pytest
from test_validation import CONTAINER, made, sentences

pytestmark = pytest.mark.unit

PLACE = "spec.securityContext.windowsOptions"
USERS: list[tuple[str, list[str]]] = [
    ("ContainerAdministrator", []),
    ("EXAMPLE\\user", []),
    ("example.com\\user", []),
    ("", [" cannot be an empty string"]),
    ("a\tb", [" cannot contain control characters"]),
    ("a\\b\\c", [" cannot contain more than one backslash"]),
    ("*\\user", ["'s Domain doesn't match the NetBios nor the DNS format"]),
    ("EXAMPLE\\", ["'s User cannot be empty"]),
    ("u" * 105, ["'s User length must not be longer than 104 characters"]),
    (". .", ["'s User cannot contain only periods or spaces"]),
    ("a:b", ["'s User cannot contain the following characters: \"/\\:;|=,+*?<>@[]"]),
]


@pytest.mark.parametrize(("user", "wanted"), USERS)
def test_the_user_of_windows(user: str, wanted: list[str]) -> None:
    context = {"securityContext": {"windowsOptions": {"runAsUserName": user}}}
    found = sentences(made("v1/Pod", lambda pod: pod["spec"].update(context)))
    assert [sentence.partition(": runAsUserName")[2] for sentence in found] == wanted


def test_credentials_of_windows_are_named_or_given() -> None:
    options = {"gmsaCredentialSpec": "", "gmsaCredentialSpecName": "a_b"}
    containers = [CONTAINER | {"securityContext": {"windowsOptions": options}}]
    found = sentences(made("v1/Pod", lambda pod: pod["spec"].update(containers=containers)))
    assert [one.partition(":")[0] for one in found] == [
        f"spec.containers[0].securityContext.windowsOptions.{field}"
        for field in ("gmsaCredentialSpecName", "gmsaCredentialSpec")
    ]


SPECS: list[tuple[dict[str, Any], list[str]]] = [
    ({"os": {"name": "linux"}}, []),
    ({"os": {"name": "beos"}}, ['spec.os.name: Unsupported value: "beos": supported values: "linux", "windows"']),
    ({"os": {"name": "linux"}, "securityContext": {"windowsOptions": {}}},
     [f"{PLACE}: Forbidden: windows options cannot be set for a linux pod"]),
    ({"os": {"name": "windows"}, "hostPID": True, "securityContext": {"fsGroup": 1, "windowsOptions": {}},
      "containers": [CONTAINER | {"securityContext": {"privileged": False}}]},
     ["spec.securityContext.fsGroup: Forbidden: cannot be set for a windows pod",
      "spec.containers[0].securityContext.privileged: Forbidden: cannot be set for a windows pod",
      "spec.hostPID: Forbidden: cannot be set for a windows pod"]),
]  # fmt: skip


@pytest.mark.parametrize(("spec", "wanted"), SPECS, ids=lambda value: str(value)[:50])
def test_a_pod_asks_for_nothing_that_only_another_system_has(spec: dict[str, Any], wanted: list[str]) -> None:
    assert sentences(made("v1/Pod", lambda pod: pod["spec"].update(spec))) == wanted
