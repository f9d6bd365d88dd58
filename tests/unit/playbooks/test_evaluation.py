"""Templates keep types, conditions decide, layers override, and what a host said is never evaluated."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from inventory.documents import UnsafeText
from playbooks.engine.evaluation.evaluator import Evaluator, Templates
from playbooks.engine.evaluation.lookups import GLOBALS
from playbooks.engine.evaluation.namespace import Layer, Namespace
from playbooks.engine.language.values import Role, Scope, Task
from playbooks.engine.variables.precedence import HostVariables, PlayVariables, namespace, of_host
from playbooks.errors import TemplateError

pytestmark = pytest.mark.unit

TEMPLATES = Templates(GLOBALS)
VARIABLES: dict[str, Any] = {
    "number": 3,
    "words": ["a", "b"],
    "nested": {"x": {"y": "deep {{ number }}"}},
    "lazy": "{{ words | length }}",
    "chain": "{{ lazy + 1 }}",
    "nothing": None,
    "circle": "{{ round }}",
    "round": "{{ circle }}",
    "raw": UnsafeText("{{ number }}"),
    "result": {"rc": 0, "changed": True, "stdout": "ok"},
}
SCOPE = Evaluator(TEMPLATES, Namespace(Layer(VARIABLES)))

VALUES = [
    ("plain", "plain"),
    ("{{ number }}", 3),
    ("{{ number }} ", "3 "),
    ("{{ words }}", ["a", "b"]),
    ("{{ nested.x.y }}", "deep 3"),
    ("{{ chain }}", 3),
    ("{{ nothing }}", None),
    ("[{{ nothing }}]", "[]"),
    ("{{ true }}", True),
    ("{{ 1 }}", 1),
    ("{{ raw }}", "{{ number }}"),
    ("{{ words | map('upper') }}", ["A", "B"]),
    ("{{ missing | default('d') }}", "d"),
    ("{{ missing.deep['er'] | default(5) }}", 5),
    ("{% for w in words %}{{ w }}{% endfor %}", "ab"),
    ({"{{ words[0] }}": ["{{ number }}"]}, {"a": [3]}),
    ("{{ [number, number + 1] }}", [3, 4]),
    ("{{ 'ab' | regex_replace('(a)(b)', '\\2\\1') }}", "ba"),
    ("line {{ number }}\n", "line 3\n"),
    ("{{ 'a' if number == 3 else 'b' }}", "a"),
    ("{% if number == 4 %}x{% endif %}", None),
    ("{{ [8, 3] | union([1]) }} {{ [8, 3, 1] | difference([8]) }}", "[8, 1, 3] [1, 3]"),
    ("{{ words | bool }}", False),
    ("{{ 5 | to_yaml }}", "5\n"),
    ("{{ {'a': 1} | combine(nothing) }}", {"a": 1}),
    ("{{ '10 Mb' | human_to_bytes(isbits=true) }}", 10485760),
    ("{{ '_-' | string is uri }}", True),
    ("{{ ('s' | password_hash('bcrypt', '1234567890123456789012', rounds=5, ident='2a'))[:7] }}", "$2a$05$"),
]


@pytest.mark.parametrize(("template", "value"), VALUES)
def test_value(template: Any, value: Any) -> None:
    found = SCOPE.template(template)
    assert found == value
    assert type(found) is type(value) or isinstance(value, str)


CONDITIONS = [
    ("number == 3", True),
    ("number > 3", False),
    (True, True),
    ("'a' in words", True),
    ("missing is defined", False),
    ("result is changed and result.rc == 0", True),
    ("result is failed", False),
    ("not words", False),
    ("{{ number == 3 }}", True),
    ("lazy == 2", True),
]


@pytest.mark.parametrize("condition", [None, "", " ", "{{ nothing }}", "{{ '' }}"])
def test_a_condition_without_an_expression_is_an_error(condition: Any) -> None:
    with pytest.raises(TemplateError, match="Empty conditional expressions are not allowed"):
        SCOPE.condition(condition)


@pytest.mark.parametrize(("condition", "holds"), CONDITIONS)
def test_condition(condition: Any, holds: bool) -> None:
    assert SCOPE.condition(condition) is holds


SAID = Evaluator(
    TEMPLATES,
    namespace(
        magic={},
        extra={},
        host=HostVariables(
            facts={"fact": "1 == 1"},
            set={"r": {"stdout": "1 == 1"}, "chosen": "1 == 1", "made": "1 == 1"},
            told={"r": None, "made": None},
        ),
        facts={"fact": "1 == 1"},
        inventory={},
        play=PlayVariables(
            {"rule": "1 == 1", "rules": ["1 == 1"], "via": "{{ r.stdout }}", "looked": "{{ query('items', rules)[0] }}"}
        ),
    ),
)
PICKED = [
    "{{ rule }}", "{{ rules[0] }}", "{{ rule if true else 1 }}", "{{ chosen }}", " {{ rule }} ", "{{ rules | first }}",
    "{{ rule | default('no') }}", "{{ nothing | default(rule) }}", "{{ rule or 'no' }}", "{{ rule if true else 'no' }}",
]  # fmt: skip
MADE = [
    "{{ r.stdout }}", "{{ via }}", "{{ fact }}", "{{ made }}", "{{ vars.r.stdout }}", "{{ rule | trim }}",
    "{{ '1 == ' ~ 1 }}", "{{ '1 == 1' }}", "{{ rule | default(r.stdout) }}", "{{ 1 }} == {{ 1 }}",
    "{% if true %}1 == 1{% endif %}", "1 == {{ 1 }}", "{{ rule or r.stdout }}", "{{ looked }}",
]  # fmt: skip


@pytest.mark.parametrize("condition", PICKED)
def test_a_condition_may_pick_an_expression_that_the_playbook_says(condition: str) -> None:
    assert SAID.condition(condition) is True


@pytest.mark.parametrize("condition", MADE)
def test_a_condition_never_runs_what_a_host_said_or_what_was_put_together(condition: str) -> None:
    with pytest.raises(TemplateError):
        SAID.condition(condition)


def test_conditions_may_be_a_list_that_the_playbook_says() -> None:
    assert SAID.conditions("{{ rules }}") == ["1 == 1"]
    assert SAID.conditions("{{ [1 == 1, true] }}") == [True, True]
    with pytest.raises(TemplateError):
        SAID.conditions("{{ [r.stdout] }}")


def test_unsafe_text_is_no_condition() -> None:
    with pytest.raises(TemplateError, match="unsafe"):
        SAID.condition(UnsafeText("1 == 1"))


IN_QUOTES = {
    "'{{ r.stdout }}' == '1 == 1'": True,
    "'1 == 1' in ['{{ rule }}']": True,
    "'{{ r.stdout }}' == '{{ 1 }} == 1'": True,
    "'{{ 1 }}' == '1'": False,
    "'{{ rule }}' is match('1 ==')": True,
    "query('items', '{{ rule }}') == ['1 == 1']": True,
    "'{{ text }}' == '{' ~ '{ rule }}'": True,
}


@pytest.mark.parametrize(("condition", "holds"), IN_QUOTES.items(), ids=IN_QUOTES)
def test_a_template_in_the_quotes_of_a_condition_is_its_value_once(condition: str, holds: bool) -> None:
    text = Layer({"text": "{{ rule }}"}, final=True)
    assert SAID.over(text).condition(condition) is holds


NEITHER = [
    ("nothing", "NoneType"),
    ("number", "int"),
    ("'text'", "str"),
    ("{{ number }}", "int"),
    (1, "int"),
    ("words", "list"),
]


@pytest.mark.parametrize(("condition", "kind"), NEITHER)
def test_a_condition_that_is_neither_true_nor_false_is_an_error(condition: Any, kind: str) -> None:
    with pytest.raises(TemplateError, match=f"of type '{kind}'. Conditionals must have a boolean result"):
        SCOPE.condition(condition)


FAULTS = [
    ("{{ missing }}", "'missing' is undefined"),
    ("{{ nested.nope }}", "no attribute 'nope'"),
    ("{{ circle }}", "circle"),
    ("{{ number | nofilter }}", "nofilter"),
    ("{{ number", "template syntax"),
    ("{{ [missing] }}", "'missing' is undefined"),
    ("{{ missing is string }}", "'missing' is undefined"),
    ("{{ words | select('eq', missing) }}", "'missing' is undefined"),
    ("{{ [result] | map(attribute='nope') | list | length }}", "no attribute 'nope'"),
    ("{{ '10 Mb' | human_to_bytes }}", "the unit must be MB or M"),
    ("{{ number | basename }}", "not int"),
    ("{{ 'a' | regex_search('b', 'c') }}", "unknown argument 'c'"),
    ("{{ 'ab' | items2dict }}", "requires a list"),
    ("{{ lookup('nope', 1) }}", "lookup 'nope' is not supported"),
    ("{{ missing | mandatory('give it') }}", "give it"),
]


@pytest.mark.parametrize(("template", "message"), FAULTS)
def test_faults_say_why_and_where(template: str, message: str) -> None:
    with pytest.raises(TemplateError, match=message):
        SCOPE.template(template)


def test_what_a_host_answered_is_never_a_template() -> None:
    scope = SCOPE.over(Layer({"answer": {"stdout": "{{ lookup('pipe', 'false') }}"}}, final=True))
    assert scope.template("{{ answer.stdout }}") == "{{ lookup('pipe', 'false') }}"


def _namespace(without: int) -> Any:
    """All layers say `v`, but the strongest `without` of them."""
    names = ["extra", "parameter", "set", "included", "task", "role", "file", "prompt", "play", "fact", "inventory"]
    kept = set(names[without:])

    def layer(name: str) -> dict[str, Any]:
        return {"v": name} if name in kept else {}

    role = Role("r", None, {"v": "default"}, layer("role"), layer("parameter"))  # type: ignore[arg-type]
    task = Task(
        "",
        "ping",
        {},
        None,
        Scope(role=role),
        {},
        (),
        frozenset(),
        layer("task"),  # type: ignore[arg-type]
    )
    return namespace(
        magic={},
        extra=layer("extra"),
        host=HostVariables(included=layer("included"), set=layer("set")),
        facts=layer("fact"),
        inventory=layer("inventory"),
        play=PlayVariables(layer("play"), layer("prompt"), layer("file")),
        task=task,
    )


PRECEDENCE = [
    "extra", "parameter", "set", "included", "task", "role", "file", "prompt", "play", "fact", "inventory", "default",
]  # fmt: skip


@pytest.mark.parametrize(("without", "winner"), list(enumerate(PRECEDENCE)))
def test_precedence(without: int, winner: str) -> None:
    found = _namespace(without).find("v")
    assert found.value == winner


def test_a_host_does_not_say_how_it_is_reached() -> None:
    told = ("ansible_hostname", "ansible_user_id", "ansible_ssh_host_key_rsa_public", "ansible_python", "answer")
    refused = (
        "ansible_connection", "ansible_host", "ansible_become", "ansible_become_user", "ansible_ssh_common_args",
        "ansible_ssh_host_key_checking", "ansible_python_interpreter", "ansible_delegated_vars",
    )  # fmt: skip
    assert tuple(of_host(dict.fromkeys((*told, *refused), "x"))) == told


def test_the_lookup_of_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ANSIBLE_CONFIG", str(tmp_path / "ansible.cfg"))
    (tmp_path / "ansible.cfg").write_text("[defaults]\nforks = 7\nroles_path = /r\n")
    looked = "{{ query('config', 'DEFAULT_FORKS', 'DEFAULT_ROLES_PATH', 'NONE_SUCH', on_missing='skip') }}"
    assert SCOPE.template(looked) == [7, ["/r"]]
    assert SCOPE.template("{{ lookup('config', 'DEFAULT_BECOME_USER') }}") == "root"
    for wrong in ("'NONE_SUCH'", "'DEFAULT_FORKS', on_missing='boo'", "1", "'x', plugin_type='connection'"):
        with pytest.raises(TemplateError, match="lookup config: "):
            SCOPE.template("{{ lookup('config', " + wrong + ") }}")
