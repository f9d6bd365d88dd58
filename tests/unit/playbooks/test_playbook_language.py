"""What a playbook may say, and what is refused before the first task, with file, line and the nearest word."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from playbooks.engine.language import freeform, plays, tags
from playbooks.engine.language.loading import Loader
from playbooks.engine.language.values import Block, Play, Task
from playbooks.errors import PlaybookError

pytestmark = pytest.mark.unit


def parse(directory: Path, text: str, **files: str) -> tuple[Play, ...]:
    for name, content in {"site.yml": text, **files}.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return plays.parse(directory / "site.yml", Loader(directory), _render).plays


def _render(text: str, given: Mapping[str, Any]) -> str:
    return text


def tasks(nodes: tuple[Any, ...]) -> list[Task]:
    found: list[Task] = []
    for node in nodes:
        found.extend(tasks((*node.block, *node.rescue, *node.always)) if isinstance(node, Block) else [node])
    return found


def in_play(*lines: str) -> str:
    return "- hosts: all\n  tasks:\n" + "".join(f"    {line}\n" for line in lines)


def in_handlers(*lines: str) -> str:
    return in_play(*lines).replace("tasks:", "handlers:")


REFUSED = [
    ("- hosts: all\n  taks: []\n", r"site\.yml:2: keyword of a play 'taks' .* 'tasks'"),
    ("- tasks: []\n", r"site\.yml:1: the play has no `hosts`"),
    ("hosts: all\n", r"site\.yml:1: a playbook is a list"),
    (in_play("- cpoy: {src: a, dest: b}"), r"site\.yml:3: keyword or module 'cpoy' .* 'copy'"),
    (in_play("- ping:", "  whne: true"), r"site\.yml:4: keyword or module 'whne' .* 'when'"),
    (in_play("- name: nothing"), r"site\.yml:3: the task names no module"),
    (in_play("- ping:", "  debug:"), r"site\.yml:3: the task names 2 modules"),
    (in_play("- copy: {src: a, dst: b}"), r"site\.yml:3: parameter of copy 'dst' .* 'dest'"),
    (in_play("- copy: {src: a}"), r"site\.yml:3: copy: missing required arguments: dest"),
    (in_play("- file: {path: a, state: presnt}"), r"site\.yml:3: file: value of state must be one of"),
    (in_play("- copy: {dest: a, src: b, backup: perhaps}"), r"argument 'backup' .* convert to bool"),
    (in_play("- block: [{ping: }]", "  rescu: []"), r"keyword of a block 'rescu' .* 'rescue'"),
    (in_play("- rescue: [{ping: }]"), r"rescue and always need a block"),
    (in_play("- ping:", "  become: maybe"), r"site\.yml:4: become must be true or false"),
    (in_play("- ping:", "  loop: [1]", "  with_items: [2]"), r"a task has one loop"),
    (in_play("- ping:", "  loop: [1]", "  loop_control: {var: x}"), r"keyword of loop_control 'var' .* 'loop_var'"),
    (in_play("- ping:", "  register: a-b"), r"site\.yml:4: 'a-b' is no name of a variable"),
    (in_play("- import_tasks: gone.yml"), r"site\.yml:3: the file 'gone\.yml' was not found"),
    (in_play("- block: [{ping: }]", "  rescue: [{copy: {src: a}}]"), r"missing required arguments: dest"),
    (in_play("- copy: {src: a, dst: b}", "  when: false"), r"parameter of copy 'dst' .* 'dest'"),
    (
        in_play("- include_tasks: {file: a.yml}", "  become: true"),
        r"site\.yml:4: 'become' cannot stand on include_tasks",
    ),
    (in_play("- include_role: {name: a}", "  delegate_to: b"), r"site\.yml:4: 'delegate_to' cannot stand"),
    (in_play("- meta: end_plya", "  when: false"), r"must be one of"),
    (in_play("- include_tasks: gone.yml"), r"site\.yml:3: the file 'gone\.yml' was not found"),
    (in_play("- import_tasks: x.yml", "  loop: [1]"), r"'loop' cannot stand on import_tasks; use include_tasks"),
    (in_play("- include_role: {name: gone}"), r"the role 'gone' was not found"),
    ("- hosts: all\n  roles: [gone]\n", r"the role 'gone' was not found"),
    ("- import_playbook: gone.yml\n", r"site\.yml:1: the playbook .*gone\.yml' does not exist"),
    (in_handlers("- name: h", "  block: [{ping: }]"), r"site\.yml:3: a block cannot be a handler"),
    (in_handlers("- meta: flush_handlers"), r"site\.yml:3: flush_handlers cannot be a handler"),
    (in_handlers("- include_role: {name: a}"), r"site\.yml:3: include_role cannot be a handler"),
    (in_play("- ping:", "  register: 'true'"), r"'true' is no name of a variable"),
    ("- hosts: all\n  strategy: mitogen\n", r"strategy 'mitogen'"),
    ("- hosts: all\n  tasks: {ping: }\n", r"tasks must be a list"),
    (in_play("- community.general.thing: {}"), r"keyword or module 'community\.general\.thing' .*; 'command' runs any"),
    (in_play("- ansible.posix.synchronize: {}"), r"'ansible\.posix\.synchronize' is not supported; use 'copy'"),
    (in_play("- ansible.builtin.cpoy: {}"), r"'ansible\.builtin\.cpoy' is not supported; did you mean 'copy'"),
    (in_play("- command: 'echo \"open'"), r"unbalanced quotes"),
    (in_play("- ping: [1"), r"not YAML"),
    (in_play("- debug:", '    msg: ["{{ 1 | to_jsn }}"]'), r"site\.yml:4: filter 'to_jsn' .* 'to_json'"),
    (in_play("- ping:", "  when: x is definde"), r"site\.yml:4: test 'definde' .* 'defined'"),
    (in_play("- assert: {that: [x | lenght > 1]}"), r"site\.yml:3: filter 'lenght' .* 'length'"),
    (in_play("- debug: {msg: \"{{ lookup('flie', 'x') }}\"}"), r"site\.yml:3: lookup 'flie' .* 'file'"),
]


@pytest.mark.parametrize(("text", "message"), REFUSED)
def test_refused_before_the_first_task(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(PlaybookError, match=message):
        parse(tmp_path, text)


def test_a_fault_inside_an_included_file_is_found_before_the_run(tmp_path: Path) -> None:
    with pytest.raises(PlaybookError, match=r"inner\.yml:2: .*'shel' .* 'shell'"):
        parse(tmp_path, in_play("- include_tasks: inner.yml"), **{"inner.yml": "- ping:\n- shel: x\n"})


def test_every_task_knows_its_file_and_line(tmp_path: Path) -> None:
    play = parse(tmp_path, in_play("- ping:", "- import_tasks: inner.yml"), **{"inner.yml": "\n- name: in\n  ping:\n"})[
        0
    ]
    marks = [(Path(task.mark.path).name, task.mark.line) for task in tasks(play.sections[1])]
    assert marks == [("site.yml", 3), ("inner.yml", 2)]


def test_variables_that_are_known_before_the_run_choose_the_strategy(tmp_path: Path) -> None:
    (tmp_path / "site.yml").write_text("- {hosts: all, strategy: '{{ way }}', order: sorted, vars: {way: host_pinned}}")
    (play,) = plays.parse(
        tmp_path / "site.yml", Loader(tmp_path), lambda text, given: str(given[text.strip("{} ")])
    ).plays
    assert (play.strategy, play.order) == ("free", "sorted")


def test_names_with_and_without_collection_are_one_module(tmp_path: Path) -> None:
    play = parse(tmp_path, in_play("- ansible.builtin.systemd: {name: x}", "- systemd_service: {name: x}"))[0]
    assert {task.action for task in play.sections[1] if isinstance(task, Task)} == {"systemd_service"}


# What fails when it is reached, if ever, and what the play says about that.
FORESEEN = [
    in_play("- include_tasks: gone.yml", "  when: false"),
    in_play("- include_role: {name: gone}", "  tags: never"),
    in_play("- block: [{include_role: {name: gone}}]", "  rescue: [{ping: }]"),
    in_play("- copy: {src: a}", "  ignore_errors: true"),
    in_play("- copy: {src: a}", "  failed_when: false"),
    in_play("- block: [{block: [{file: {path: a, state: presnt}}]}]", "  rescue: [{ping: }]"),
    "- hosts: all\n  handlers: [{name: never notified, copy: {src: a}}]\n",
]


@pytest.mark.parametrize("text", FORESEEN)
def test_faults_that_the_play_provides_for_are_for_the_moment_when_it_comes_to_them(text: str, tmp_path: Path) -> None:
    parse(tmp_path, text)


def test_blocks_hand_down_what_they_say(tmp_path: Path) -> None:
    text = """
- hosts: all
  become: true
  tags: play
  environment: {A: play}
  tasks:
    - block:
        - ping:
          when: inner
          tags: [own]
          become: false
          vars: {x: task}
          environment: {A: task}
      when: outer
      tags: block
      ignore_errors: true
      vars: {x: block, y: block}
"""
    task = tasks(parse(tmp_path, text)[0].sections[1])[0]
    assert task.when == ("outer", "inner")
    assert task.tags == {"play", "block", "own"}
    assert task.keywords == {"become": False, "ignore_errors": True}
    assert task.variables == {"x": "task", "y": "block"}
    assert task.environment == ({"A": "play"}, {"A": "task"})


def test_uses_of_a_role_that_are_the_same_are_known_as_such(tmp_path: Path) -> None:
    play = parse(
        tmp_path,
        "- hosts: all\n  roles:\n    - app\n    - {role: app, size: 2}\n    - app\n",
        **{
            "roles/base/tasks/main.yml": "- name: base\n  ping:\n",
            "roles/app/meta/main.yml": "dependencies: [base]\n",
            "roles/app/tasks/main.yml": "- name: app\n  ping:\n",
            "roles/app/handlers/main.yml": "- name: again\n  ping:\n",
            "roles/app/defaults/main.yml": "size: 1\n",
        },
    )[0]
    found = [task for task in tasks(play.sections[1]) if task.action != "meta"]
    roles = [task.role for task in found if task.role]
    assert [task.title for task in found] == ["base : base", "app : app"] * 3
    assert [dict(role.parameters) for role in roles] == [{}, {}, {"size": 2}, {"size": 2}, {}, {}]
    assert [role.use for role in roles[::2]] == [roles[0].use] * 3
    assert roles[1].use == roles[5].use != roles[3].use
    assert not any(role.repeats for role in roles)
    assert play.handlers[0].title == "app : again"


def test_a_role_that_depends_on_itself_is_refused(tmp_path: Path) -> None:
    meta = {f"roles/{name}/meta/main.yml": f"dependencies: [{other}]\n" for name, other in ("ab", "ba")}
    with pytest.raises(PlaybookError, match=r"b/meta/main\.yml:1: the role 'a' depends on itself"):
        parse(tmp_path, "- {hosts: all, roles: [a]}\n", **meta)


FREE = [
    ("echo hi creates=/x", {"creates"}, "echo hi", {"creates": "/x"}),
    ("echo a=b", {"creates"}, "echo a=b", {}),
    ("src=a dest='b c'", None, "", {"src": "a", "dest": "b c"}),
    ('msg="{{ a }} = {{ b }}"', None, "", {"msg": "{{ a }} = {{ b }}"}),
    ("x={{ a | default('p q') }}", None, "", {"x": "{{ a | default('p q') }}"}),
    (r'line="a\tb\x41\"c" other=c\nd \d', None, r"\d", {"line": 'a\tbA"c', "other": "c\nd"}),
    (r"echo 'x\ny' chdir=\u0041", {"chdir"}, r"echo 'x\ny'", {"chdir": "A"}),
    ("echo a \\\n  b \\\n'c \\\nd' \\ e\\ f", {"creates"}, "echo a  b 'c \\\nd' e\\ f", {}),
    ("{{ item }}_x={{ item == 1 }} b2=c", None, "", {"{{ item }}_x": "{{ item == 1 }}", "b2": "c"}),
    ("{{ a }}{{ b == c }}=x {{ a }}{{ b }}", None, "{{ a }}{{ b }}", {"{{ a }}{{ b == c }}": "x"}),
    ("{{a}}" * 40, None, "{{a}}" * 40, {}),
    ("printf '%s  %s' x", {"creates"}, "printf '%s  %s' x", {}),
]


@pytest.mark.parametrize(("text", "known", "rest", "pairs"), FREE)
def test_one_line_form(text: str, known: set[str] | None, rest: str, pairs: dict[str, str]) -> None:
    assert freeform.pairs(text, None if known is None else frozenset(known)) == (rest, pairs)


TAGS = [
    ((), (), (), True),
    (("red",), ("red",), (), True),
    (("blue",), ("red",), (), False),
    (("always",), ("red",), (), True),
    (("never",), (), (), False),
    (("never", "red"), ("red",), (), True),
    (("red",), (), ("red",), False),
    (("always",), (), ("always",), False),
    (("red",), ("tagged",), (), True),
    ((), ("tagged",), (), False),
    ((), ("untagged",), (), True),
    (("red", "blue"), ("red",), ("blue",), False),
    (("always",), (), ("all",), True),
]


@pytest.mark.parametrize(("own", "only", "skip", "runs"), TAGS)
def test_tags(own: tuple[str, ...], only: tuple[str, ...], skip: tuple[str, ...], runs: bool) -> None:
    assert tags.chosen(frozenset(own), frozenset(only), frozenset(skip)) is runs
