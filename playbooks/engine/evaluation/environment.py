"""Jinja2 as playbooks know it: a lone `{{ expression }}` keeps its type, undefined is an error, None is empty text.

Invariant: environments and compiled templates are shared by all threads; what varies travels in the context.
Source: Ansible, "Templating (Jinja2)"; Jinja2's NativeEnvironment.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import GeneratorType
from typing import Any, NoReturn

import jinja2
from jinja2 import nodes, pass_context
from jinja2.nativetypes import NativeCodeGenerator
from jinja2.runtime import Context
from jinja2.utils import missing
from jinja2.visitor import NodeTransformer

from playbooks.engine.evaluation import filters, filters_collections, filters_paths, tests
from playbooks.engine.evaluation.filters_markup import FILTERS as MARKUP_FILTERS
from playbooks.engine.evaluation.filters_vault import FILTERS as VAULT_FILTERS
from playbooks.errors import UndefinedError

SCOPE = " scope"
LOOKUPS = ("lookup", "query", "q")
# The filter of a constant that is a template; no template can name it.
_WRITTEN = " .written"
# The tests whose question is whether there is a value.
_OF_UNDEFINED = ("defined", "undefined", "vault_encrypted")

# Filters of Jinja2 that give their items on demand, and only once.
_ITERATING = ("batch", "items", "map", "reject", "rejectattr", "reverse", "select", "selectattr", "slice", "unique")
_VIEWS: tuple[type[Any], ...] = (type({}.keys()), type({}.values()), type({}.items()))
_LAZY: tuple[type[Any], ...] = (GeneratorType, map, filter, zip, range, reversed, *_VIEWS)


class Missing(jinja2.StrictUndefined):
    """An undefined value: any use is an error, except going deeper towards a `default`."""

    __slots__ = ()

    def __getattr__(self, name: str) -> Any:
        if name[:2] == "__":
            raise AttributeError(name)
        return self

    def __getitem__(self, name: Any) -> Any:
        return self

    def refuse(self) -> NoReturn:
        """Raise what the use of this value raises."""
        self._fail_with_undefined_error()
        raise AssertionError


class LazyContext(Context):
    """Resolves names in the evaluator that the root context carries, each when it is used."""

    def resolve_or_missing(self, key: str) -> Any:
        """A name set in the template, else a variable, else a global."""
        if key in self.vars:
            return self.vars[key]
        given = self.parent.get(key, missing)
        if given is not missing and given is not self.environment.globals.get(key, missing):
            # Set in the template that imports or includes this one.
            return given
        scope = self.parent.get(SCOPE)
        if scope is not None:
            try:
                value = scope.variable(key)
            except UndefinedError as error:
                return Missing(hint=str(error), name=key)
            if value is not missing:
                return value
        return given


class _CodeGenerator(NativeCodeGenerator):
    """Keeps the type of a constant expression, too."""

    def _output_const_repr(self, group: Iterable[Any]) -> str:
        parts = list(group)
        return repr(parts[0] if len(parts) == 1 else "".join(as_text(part) for part in parts))


class _Environment(jinja2.Environment):
    """Templates that are written out among the terms of a lookup are evaluated first; what a term gets is not."""

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        tree = super()._parse(source, name, filename)
        for call in tree.find_all(nodes.Call):
            if isinstance(call.node, nodes.Name) and call.node.name in LOOKUPS:
                call.args[1:] = [_with_templates(term) for term in call.args[1:]]
        return tree


class _InConditions(NodeTransformer):
    """Evaluates templates in the quoted text of a condition, once: `'{{ color }}' == 'red'`."""

    def visit_Const(self, node: nodes.Const) -> nodes.Node:  # noqa: N802
        """Also where it is no term of a lookup."""
        written: nodes.Node = _with_templates(node)
        return written

    def visit_Filter(self, node: nodes.Filter) -> nodes.Node:  # noqa: N802
        """The terms of a lookup are evaluated already."""
        return node if node.name == _WRITTEN else self.generic_visit(node)


def of_condition(environment: jinja2.Environment, source: str) -> jinja2.Template:
    """The template of a condition's expression."""
    tree: nodes.Template = _InConditions().visit(environment.parse(source))
    return environment.from_string(tree)


def _with_templates(node: Any) -> Any:
    if isinstance(node, nodes.Const) and isinstance(node.value, str) and ("{{" in node.value or "{%" in node.value):
        return nodes.Filter(node, _WRITTEN, [], [], None, None, lineno=node.lineno)
    if isinstance(node, nodes.List | nodes.Tuple):
        node.items[:] = [_with_templates(item) for item in node.items]
    elif isinstance(node, nodes.Dict):
        for pair in node.items:
            pair.value = _with_templates(pair.value)
    return node


@pass_context
def _written(context: Context, text: str) -> Any:
    try:
        return context.parent[SCOPE].template(text)
    except UndefinedError as error:
        return Missing(hint=str(error))


class NativeEnvironment(_Environment):
    """For values and conditions."""

    code_generator_class = _CodeGenerator
    context_class = LazyContext

    @staticmethod
    def concat(parts: Iterable[Any]) -> Any:
        """What a macro or a block gives: its only value as it is, or one text."""
        return join(parts)


class TextEnvironment(_Environment):
    """For template files: the result is text."""

    context_class = LazyContext


def native(globals_: Mapping[str, Any]) -> Any:
    """The environment of values and conditions."""
    return _furnish(NativeEnvironment(undefined=Missing, trim_blocks=True), globals_)


def text(globals_: Mapping[str, Any], places: Iterable[str], **options: Any) -> Any:
    """The environment of template files below `places`; `options` are Jinja2's own."""
    environment = TextEnvironment(
        undefined=Missing,
        loader=jinja2.FileSystemLoader(list(places)),
        finalize=lambda value: "" if value is None else value,
        **options,
    )
    return _furnish(environment, globals_)


def _furnish(environment: Any, globals_: Mapping[str, Any]) -> Any:
    for name in _ITERATING:
        environment.filters[name] = _listing(environment.filters[name])
    for source in (filters.FILTERS, filters_collections.FILTERS, filters_paths.FILTERS, MARKUP_FILTERS, VAULT_FILTERS):
        _register(environment.filters, source)
    _register(environment.tests, tests.TESTS)
    for name, test in environment.tests.items():
        if name.removeprefix("ansible.builtin.") not in _OF_UNDEFINED:
            environment.tests[name] = _refusing(test)
    for name in ("items", "pprint"):
        environment.filters[name] = _refusing(environment.filters[name])
    environment.filters["list"] = _list
    for name in ("items", "list", "pprint"):
        environment.filters[f"ansible.builtin.{name}"] = environment.filters[name]
    environment.filters[_WRITTEN] = _written
    environment.globals.update(globals_)
    return environment


def _listing(function: Callable[..., Any]) -> Callable[..., Any]:
    """A filter of Jinja2 whose result can be read more than once, shown and compared."""

    @functools.wraps(function)
    def listed(*arguments: Any, **options: Any) -> Any:
        result = function(*arguments, **options)
        return list(result) if isinstance(result, Iterator) else result

    return listed


def _list(value: Any) -> list[Any]:
    """The items of a value, of which none may be undefined."""
    items = list(value)
    for item in items:
        if isinstance(item, Missing):
            item.refuse()
    return items


def _refusing(function: Callable[..., Any]) -> Callable[..., Any]:
    """A test or filter for which an undefined argument is an error, not one more value."""

    @functools.wraps(function)
    def refused(*arguments: Any, **options: Any) -> Any:
        for argument in (*arguments, *options.values()):
            if isinstance(argument, Missing):
                argument.refuse()
        return function(*arguments, **options)

    return refused


def _register(target: dict[str, Any], source: Mapping[str, Callable[..., Any]]) -> None:
    for name, function in source.items():
        target[name] = function
        target[f"ansible.builtin.{name}"] = function


def with_plain_backslashes(environment: jinja2.Environment, source: str) -> str:
    """The template with backslashes in the text of `{{ … }}` taken as they stand: `regex_replace('(a)', '\\1')`."""
    if "\\" not in source or "{{" not in source:
        return source
    parts: list[str] = []
    inside = False
    for _, kind, value in environment.lex(source):
        inside = kind == "variable_begin" or (inside and kind != "variable_end")
        parts.append(value.replace("\\", "\\\\") if inside and kind == "string" else value)
    return "".join(parts)


def join(parts: Iterable[Any]) -> Any:
    """What a native template gives: its only value that is not None as it is, or all of them as one text."""
    values = list(parts)
    if len(values) > 1:
        values = [value for value in values if value is not None] or [None]
    if len(values) == 1:
        return plain(values[0])
    return "".join(as_text(value) for value in values) if values else None


def plain(value: Any) -> Any:
    """A value of JSON's kinds: iterators and tuples become lists. Raises UndefinedError for an undefined part."""
    if isinstance(value, str | int | float | bool) or value is None:
        return value
    if isinstance(value, Missing):
        value.refuse()
    if isinstance(value, jinja2.Undefined):
        # Jinja2's own, of `value if false` without an else: empty within a text, but no value by itself.
        raise jinja2.UndefinedError(value._undefined_message)
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, _LAZY):
        items: Iterable[Any] = value
        return [plain(item) for item in items]
    return value


def with_newlines(source: str, rendered: str, newline: str = "\n") -> str:
    """The text with at least as many newlines at its end as its template has: Jinja2 drops one."""
    wanted = len(source) - len(source.rstrip("\n"))
    found = len(rendered) - len(rendered.rstrip("\n"))
    return rendered + newline * (wanted - found)


def only_expression(environment: jinja2.Environment, source: str) -> jinja2.Template | None:
    """A template that sets `result`, for a text that is one expression and nothing else."""
    body = environment.parse(source).body
    if len(body) != 1 or not isinstance(body[0], nodes.Output) or len(body[0].nodes) != 1:
        return None
    expression = body[0].nodes[0]
    if isinstance(expression, nodes.TemplateData):
        return None
    assignment = nodes.Assign(nodes.Name("result", "store"), expression, lineno=1)
    return environment.from_string(nodes.Template([assignment], lineno=1))


def as_text(value: Any) -> str:
    """A value as a template file shows it."""
    if value is None:
        return ""
    return str(plain(value)) if isinstance(value, list | tuple | dict) else str(value)
