"""What modules share: permission bits, parameters that exclude each other, what a result tells of its call."""

from __future__ import annotations

import pytest

from playbooks.engine.actions.validate_argument_spec import problems
from playbooks.engine.executor import invocation
from playbooks.engine.helper import secrets
from playbooks.engine.helper.call import Failure
from playbooks.engine.helper.options import Option, OptionError, expanded, resolve
from playbooks.engine.result import item_results
from playbooks.modules import _files

OPTIONS = {
    "path": Option("path", aliases=("dest",)),
    "word": Option(default="usual"),
    "password": Option(secret=True, aliases=("pass",)),
}


@pytest.mark.parametrize(
    ("wanted", "current", "directory", "bits"),
    [
        (0o640, 0o600, False, 0o640),
        ("0640", 0o600, False, 0o640),
        ("1777", 0o600, True, 0o1777),
        ("u=rw,g=r,o=", 0o777, False, 0o640),
        ("u+x", 0o640, False, 0o740),
        ("a=rX", 0o600, False, 0o444),
        ("a=rX", 0o600, True, 0o555),
        ("u=rwx,g=u,o=g-w", 0o600, False, 0o775),
        ("g+s,u+s", 0o644, False, 0o6644),
        ("o+t", 0o755, True, 0o1755),
        ("u=rw", 0o4755, False, 0o655),
    ],
)
def test_permission_bits(wanted: object, current: int, directory: bool, bits: int) -> None:
    assert oct(_files.mode_of(wanted, "/f", current, directory)) == oct(bits)


@pytest.mark.parametrize("wanted", ["z+q", "999", "0999", "preserve", "badmode", "ua=r"])
def test_what_is_no_mode(wanted: str) -> None:
    with pytest.raises(Failure, match="mode must be in octal or symbolic form") as raised:
        _files.mode_of(wanted, "/f", 0o600, False)
    assert raised.value.result["path"] == "/f"


def test_parameters_that_exclude_each_other() -> None:
    with pytest.raises(OptionError, match=r"parameters are mutually exclusive: path\|word"):
        resolve("m", OPTIONS, {"dest": "/f", "word": "x"}, (("path", "word"),))


def test_an_argument_of_a_role_may_be_nothing_but_must_be_given() -> None:
    specification = {"any": {"type": "raw", "required": True, "aliases": ["other"]}}
    assert list(problems(specification, {"any": None})) == list(problems(specification, {"other": None})) == []
    assert list(problems(specification, {})) == ["missing required arguments: any"]


TRUTHS = {
    ("True", ("dist", "no", "yes")): "yes",
    (True, ("dist", "no", "yes")): "yes",
    (False, ("dist", "no", "yes")): "no",
    (True, ("all", "on", "yes")): "one of: all, on, yes, got: True",
    ("true", ("no", "yes")): "one of: no, yes, got: true",
    (1, ("no", "yes")): "one of: no, yes, got: 1",
}


@pytest.mark.parametrize(("given", "expected"), TRUTHS.items())
def test_a_truth_value_is_the_one_choice_that_means_it(given: tuple[object, tuple[str, ...]], expected: str) -> None:
    value, choices = given
    options = {"word": Option(choices=choices)}
    if expected in choices:
        assert resolve("m", options, {"word": value}) == {"word": expected}
    else:
        with pytest.raises(OptionError, match=expected):
            resolve("m", options, {"word": value})


def test_paths_are_as_the_host_writes_them() -> None:
    found = expanded(OPTIONS, {"path": "~/f", "word": "~/f"}, lambda path: path.replace("~", "/root"))
    assert found == {"path": "/root/f", "word": "~/f"}


def test_what_a_result_tells_of_its_call() -> None:
    given = {"dest": "/f", "pass": "p"}
    hidden = {"password": secrets.HIDDEN, "pass": secrets.HIDDEN}
    for resolved in (resolve("m", OPTIONS, given), None):
        told = invocation.of("m", OPTIONS, given, resolved)["invocation"]["module_args"]
        assert told == {"path": "/f", "dest": "/f", "word": "usual", **hidden}


def test_a_files_content_hides_nothing_but_itself() -> None:
    options = {"content": Option(secret=True), "dest": Option()}
    told = invocation.of("copy", options, {"content": "tmp", "dest": "/tmp/f"}, None)["invocation"]["module_args"]
    assert told == {"content": secrets.HIDDEN, "dest": "/tmp/f"}


def test_what_runs_here_has_no_call_to_tell_of() -> None:
    assert invocation.of("debug", {}, {"msg": "x"}, {}) == {}


def test_what_a_module_calls_results_are_no_items_of_a_loop() -> None:
    item = {"ansible_loop_var": "item", "item": 1, "changed": True}
    assert item_results({"results": [item]}) == [item]
    assert item_results({"results": ["Installed: one-1.0-1.noarch", {"name": "one"}]}) == []
    assert item_results({"results": "none"}) == item_results({}) == []


def test_a_secret_is_hidden_wherever_a_result_repeats_it() -> None:
    hidden = secrets.of(OPTIONS, {"password": "word", "path": "word"})
    told = {"msg": "got password", "stdout_lines": ["a", "word"], "word": True, "rc": 0, "none": None}
    expected = {**told, "msg": "got pass********", "stdout_lines": ["a", secrets.HIDDEN]}
    assert secrets.without(told, hidden) == expected
    assert secrets.without({"number": 1230, "true": True}, ["23"]) == {"number": secrets.HIDDEN, "true": True}
    assert secrets.of(OPTIONS, {"password": {"a": ["x", "long", ""], "b": None}}) == ["long", "x"]
