"""Files that modules edit line by line: file systems, keys that may log in, kernel parameters."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from test_module_faults import result_of

from playbooks.modules._fstab import Entry, with_entry, without_entry
from playbooks.modules.authorized_key import edited, parsed

TABLE = "# /m is a disk\n/dev/x  /m  ext4  ro  0  0 # ours\nproc /proc proc defaults\n/one none swap sw 0 0"
DISK = Entry("/dev/x", "/m", "ext4", "ro", "0", "0")


@pytest.mark.parametrize(
    ("entry", "replaced", "by"),
    [
        (DISK._replace(options="rw"), "/dev/x  /m  ext4  ro  0  0 # ours", "/dev/x /m ext4 rw 0 0"),
        (DISK._replace(path="/m/", order="2"), "/dev/x  /m  ext4  ro  0  0 # ours", "/dev/x /m/ ext4 ro 0 2"),
        (Entry("proc", "/proc", "proc", "defaults", "0", "0"), "proc defaults", "proc defaults 0 0"),
        (Entry("/one", "none", "swap", "pri=1", "0", "0"), "/one none swap sw 0 0", "/one none swap pri=1 0 0"),
        (Entry("/two", "none", "swap", "sw", "0", "0"), "sw 0 0", "sw 0 0\n/two none swap sw 0 0"),
        (Entry("/a b", "/c&d\\e", "none", "bind", "0", "0"), "sw 0 0", r"sw 0 0\n/a\040b /c\046d\134e none bind 0 0"),
    ],
)  # fmt: skip
def test_an_entry_replaces_that_of_its_path_only(entry: Entry, replaced: str, by: str) -> None:
    after = with_entry(TABLE, entry)
    assert after == TABLE.replace(replaced, by.replace(r"\n", "\n")) + "\n"
    assert with_entry(after, entry) == after


def test_an_entry_goes_whatever_its_length() -> None:
    assert without_entry(TABLE, "/proc", None) == TABLE.replace("proc /proc proc defaults\n", "") + "\n"
    assert without_entry(TABLE, "none", "/two") == without_entry(TABLE, "/unknown", None) == TABLE


def test_a_mount_that_fails_leaves_the_table_and_no_directory(tmp_path: Path) -> None:
    table, point = tmp_path / "fstab", tmp_path / "one" / "two"
    table.write_text("# mine\n")
    given = {"path": str(point), "src": "/dev/none-such", "fstype": "ext4", "fstab": str(table)}
    result = result_of("mount", state="mounted", **given)
    assert result["failed"] and result["msg"].startswith(f"Error mounting {point}: "), result
    assert table.read_text() == "# mine\n" and not point.parent.exists()
    assert result_of("mount", state="present", opts="pass=word", opts_no_log=True, **given)["changed"]
    assert "pass=word" in table.read_text()


def test_what_says_that_other_parameters_are_secret_hides_them(tmp_path: Path) -> None:
    table = str(tmp_path / "fstab")
    given = {"path": "/m", "src": "/pass=word", "fstype": "ext4", "fstab": table, "opts": "pass=word"}
    result = result_of("mount", state="present", opts_no_log=True, **given)
    assert (result["opts"], result["src"]) == ("VALUE_SPECIFIED_IN_NO_LOG_PARAMETER", "/********")
    assert result_of("mount", state="present", **given)["opts"] == "pass=word"


KEYS = 'ssh-ed25519 ONE c1\n\n# ssh-rsa TWO two\nfrom="a b",no-pty ssh-rsa THREE three\n'


@pytest.mark.parametrize(
    ("line", "present", "exclusive", "after"),
    [
        ("ssh-ed25519 ONE c1", True, False, KEYS),
        ("ssh-rsa TWO two", True, False, KEYS + "ssh-rsa TWO two\n"),
        ("ssh-ed25519 ONE new", True, False, KEYS.replace("ssh-ed25519 ONE c1\n", "") + "ssh-ed25519 ONE new\n"),
        ("ssh-rsa  THREE  any", False, False, "".join(KEYS.splitlines(True)[:3])),
        ("ssh-rsa TWO", False, False, KEYS),
        ("ssh-ed25519 ONE c1", True, True, "ssh-ed25519 ONE c1\n"),
    ],
)
def test_keys_are_told_apart_by_what_they_are(line: str, present: bool, exclusive: bool, after: str) -> None:
    assert edited(KEYS, [parsed(line)], present, exclusive) == after


def test_keys_of_a_scan_come_with_what_the_server_is(tmp_path: Path) -> None:
    path = tmp_path / "known_hosts"
    scan = "# h:22 SSH-2.0-OpenSSH_9.2\nh ssh-rsa AAAA\n\n# h:22 SSH-2.0-OpenSSH_9.2\nh ssh-ed25519 BBBB\n"
    assert result_of("known_hosts", name="h", key=scan, path=str(path))["changed"]
    assert path.read_text() == "h ssh-rsa AAAA\nh ssh-ed25519 BBBB\n"
    nothing = result_of("known_hosts", name="h", key="# h:22 SSH-2.0-OpenSSH_9.2\n", path=str(path))
    assert nothing["msg"].startswith("No key specified")


@pytest.mark.parametrize(
    ("module", "given"),
    [
        ("known_hosts", {"name": "h", "key": "h ssh-rsa AAAA", "path": "FILE"}),
        ("authorized_key", {"user": "root", "key": "ssh-rsa AAAA", "path": "FILE", "manage_dir": False}),
        ("sysctl", {"name": "kernel.ostype", "value": "Linux", "sysctl_file": "FILE", "reload": False}),
    ],
)
def test_what_changes_in_a_file_is_shown_whatever_its_encoding(
    module: str, given: dict[str, Any], tmp_path: Path
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"# caf\xe9\n")
    words = {name: str(path) if word == "FILE" else word for name, word in given.items()}
    result = result_of(module, True, **words)
    assert "diff" in result, result
    assert path.read_bytes().startswith(b"# caf\xe9\n")


@pytest.mark.parametrize("line", ["", "# ssh-rsa AAAA", "ssh-rsa", "ssh-foo AAAA", "garbage"])
def test_what_is_no_key(line: str) -> None:
    assert parsed(line).kind == ""


def test_a_kernel_parameter_is_written_as_given(tmp_path: Path) -> None:
    table = tmp_path / "sysctl.conf"
    table.write_text("# mine\nother = 1\n-kernel.ostype = old\n")
    for value, changed in (("Linux", True), ("Linux", False), ("a  b", True)):
        result = result_of("sysctl", name="kernel.ostype", value=value, sysctl_file=str(table), reload=False)
        assert result["changed"] is changed and table.read_text().endswith(f"kernel.ostype={value}\n")
    assert result_of("sysctl", name="kernel.ostype", value="", sysctl_file=str(table))["msg"] == "value cannot be blank"
    assert table.read_text().startswith("# mine\nother = 1\n")
