"""What the module `dnf` reads of dnf's words; the texts are dnf 4.14's."""

from __future__ import annotations

import pytest

from playbooks.engine.helper.call import Completed
from playbooks.modules import _dnf_output

pytestmark = pytest.mark.unit

LONG = "a-very-long-name-of-a-package-that-wraps-its-line-in-tables-for-sure"
TABLE = f"""\
Last metadata expiration check: 0:00:01 ago on Sat Nov 28 21:06:17 2026.
Dependencies resolved.
================================================================================
 Package          Architecture      Version          Repository            Size
================================================================================
Installing:
 {LONG}   noarch  1.0.20260101.git1234567-15.el9_very main-test  5.7 k
Upgrading:
 alpha            noarch            2:1.1-1          main-test            6.0 k
Installing dependencies:
 delta            noarch            1.0-1            main-test            6.0 M
Installing weak dependencies:
 zeta             x86_64            1.0-1            main-test            6
Removing dependent packages:
 beta             noarch            1.0-1            @main-test           4 {""}
Skipping packages with broken dependencies:
 gamma            noarch            1.0-1            main-test            6.0 k

Transaction Summary
================================================================================
Install  2 Packages
Skip     1 Package

 nothing          after             the-summary      counts               6.0 k
"""


def test_a_table_is_read_by_its_sections() -> None:
    assert [(row.section, row.package, row.is_new) for row in _dnf_output.rows(TABLE)] == [
        ("Installing", f"{LONG}-1.0.20260101.git1234567-15.el9_very.noarch", True),
        ("Upgrading", "alpha-2:1.1-1.noarch", True),
        ("Installing", "delta-1.0-1.noarch", True),
        ("Installing", "zeta-1.0-1.x86_64", True),
        ("Removing", "beta-1.0-1.noarch", False),
    ]


def test_where_nothing_is_to_be_done_there_is_no_table() -> None:
    assert (
        _dnf_output.rows("No packages marked for removal.\nDependencies resolved.\nNothing to do.\nComplete!\n") == []
    )


PROBLEM = """\

 Problem: package beta-1.0-1.noarch requires alpha, but none of the providers can be installed
  - conflicting requests"""
SOME = "Failed to install some of the specified packages"


@pytest.mark.parametrize(("out", "err", "message", "failures"), [
    ("No match for argument: one\n", "Error: Unable to find a match: one\n", SOME, ["No package one available."]),
    ("No match for argument: one\nNo match for argument: two\n", "Error: Unable to find a match: one two\n", SOME,
     ["No package one available.", "No package two available."]),
    ("All matches were filtered out by exclude filtering for argument: alpha\n",
     "Error: Unable to find a match: alpha\n", SOME,
     ["alpha All matches were filtered out by exclude filtering for argument: alpha"]),
    ("", f"Error: {PROBLEM}\n(try to add '--skip-broken' to skip uninstallable packages)\n",
     f"Depsolve Error occurred: {PROBLEM}", []),
    ("Module or Group 'none' is not available.\n", "Error: Nothing to do.\n", "No group none available.", None),
    ("", "Can not load RPM file: /srv/none.rpm.\nCould not open: /srv/none.rpm\n",
     "Error occurred attempting remote rpm operation: Could not open: /srv/none.rpm", None),
    ("Package beta-1.0-1.noarch.rpm is not signed\n", "Error: GPG check FAILED\n",
     "Failed to validate GPG signature for beta-1.0-1.noarch: Package beta-1.0-1.noarch.rpm is not signed", None),
    ("", "Error: Failed to download metadata for repo 'main'\n",
     "Unknown Error occurred: Failed to download metadata for repo 'main'", []),
])  # fmt: skip
def test_a_refusal_is_told_as_ansible_tells_it(out: str, err: str, message: str, failures: list[str] | None) -> None:
    failure = _dnf_output.failure(Completed(1, out, err))
    assert str(failure) == message
    assert failure.result.get("failures") == failures


def test_a_package_of_a_query_says_where_it_is() -> None:
    line = "alpha|0|1.1|1|noarch|{}"
    assert _dnf_output.described(line.format("main-test")) == {
        **{"name": "alpha", "epoch": "0", "version": "1.1", "release": "1", "arch": "noarch", "repo": "main-test"},
        **{"envra": "0:alpha-1.1-1.noarch", "nevra": "0:alpha-1.1-1.noarch", "yumstate": "available"},
    }
    assert _dnf_output.described(line.format("@System"))["yumstate"] == "installed"
