"""Evaluates templates and conditions for one host and one task (and one loop item).

Invariant: a variable is evaluated when a template first uses it, and once; a circle of variables is an error.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jinja2
from jinja2.utils import missing

from inventory.documents import EncryptedText, UnsafeText
from playbooks.engine.evaluation import environment as environments
from playbooks.engine.evaluation import trust
from playbooks.engine.evaluation.namespace import Layer, Namespace
from playbooks.errors import PlaybookError, TemplateError, UndefinedError

_SIGNS = ("{{", "{%", "{#")
_DEEPEST = 60
# Before the text of a compiled value in the cache: a condition may have the same text.
VALUE = "\0"


class Omit:
    """The value of `omit`: a parameter that has it is left out."""

    def __repr__(self) -> str:
        return "omit"


OMIT = Omit()


class Templates:
    """The environments of one run, and every template compiled once."""

    def __init__(self, globals_: Mapping[str, Any]) -> None:
        self._globals = globals_
        self._native = environments.native(globals_)
        self._compiled: dict[str, jinja2.Template] = {}
        self._files: dict[tuple[Any, ...], jinja2.Environment] = {}
        self._lock = threading.Lock()

    def compiled(self, source: str) -> jinja2.Template:
        """The template of a condition. Raises jinja2.TemplateSyntaxError."""
        template = self._compiled.get(source)
        if template is None:
            template = self._compiled[source] = environments.of_condition(self._native, source)
        return template

    def compiled_value(self, source: str) -> jinja2.Template:
        """The template of a value in a playbook, where a backslash in quotes is only a backslash."""
        key = VALUE + source
        template = self._compiled.get(key)
        if template is None:
            plain = environments.with_plain_backslashes(self._native, source)
            template = self._compiled[key] = self._native.from_string(plain)
        return template

    def render(self, source: str, scope: Evaluator, *, value: bool = True) -> Any:
        """The result of a value's template, or else of a condition, in the scope of an evaluator."""
        template = self.compiled_value(source) if value else self.compiled(source)
        context = self._native.context_class(
            self._native, {environments.SCOPE: scope, **template.globals}, None, template.blocks
        )
        found = environments.join(template.root_render_func(context))
        return environments.with_newlines(source, found) if isinstance(found, str) else found

    def render_file(self, source: str, places: Iterable[str], options: Mapping[str, Any], scope: Evaluator) -> str:
        """The text of a template file; it may include others below `places`."""
        key = (tuple(places), tuple(sorted(options.items())))
        with self._lock:
            environment = self._files.get(key)
            if environment is None:
                environment = self._files[key] = environments.text(self._globals, key[0], **options)
        value = self._value_of_file(environment, source, scope)
        if value is not None:
            return value
        template = environment.from_string(source)
        parent = {environments.SCOPE: scope, **template.globals}
        context = environment.context_class(environment, parent, None, template.blocks)
        rendered = "".join(template.root_render_func(context))
        return environments.with_newlines(source, rendered, str(options.get("newline_sequence", "\n")))

    @staticmethod
    def _value_of_file(environment: jinja2.Environment, source: str, scope: Evaluator) -> str | None:
        """The text of a file that is one expression and comes to something other than text: without its newline."""
        template = environments.only_expression(environment, source)
        if template is None:
            return None
        parent = {environments.SCOPE: scope, **template.globals}
        context = environment.context_class(environment, parent, None, template.blocks)
        for _ in template.root_render_func(context):
            pass
        found = context.vars["result"]
        return None if isinstance(found, str | jinja2.Undefined) else environments.as_text(found)


class Evaluator:
    """A namespace with the templates to read it. Not shared between threads."""

    def __init__(self, templates: Templates, namespace: Namespace, services: Any = None) -> None:
        self.templates = templates
        self.namespace = namespace
        # What lookups need of the world: see `lookups.Services`.
        self.services = services
        self._values: dict[str, Any] = {}
        self._depth = 0

    def over(self, *layers: Layer) -> Evaluator:
        """An evaluator with further, stronger layers."""
        return Evaluator(self.templates, self.namespace.over(*layers), self.services)

    def variable(self, name: str) -> Any:
        """A variable's value, or jinja2's `missing`. Raises TemplateError."""
        if name in self._values:
            return self._values[name]
        if name == "vars":
            return _Variables(self)
        found = self.namespace.find(name)
        if found is None:
            return missing
        value = found.value if found.final else self._guarded(found.value, name)
        self._values[name] = value
        return value

    def get(self, name: str, default: Any = None) -> Any:
        """A variable's value, or `default`. Raises TemplateError."""
        value = self.variable(name)
        return default if value is missing else value

    def template(self, value: Any) -> Any:
        """`value` with every template in it evaluated, collections too. Raises TemplateError."""
        if isinstance(value, str):
            return self._text(value)
        if isinstance(value, dict):
            return {self.template(key): self.template(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.template(item) for item in value]
        return value

    def condition(self, expression: Any) -> bool:
        """The truth of a `when` and its like. Raises TemplateError, also for what is neither true nor false."""
        value = self._text(expression) if isinstance(expression, str) and trust.is_template(expression) else expression
        if value is None or (isinstance(value, str) and not value.strip()):
            raise TemplateError("Empty conditional expressions are not allowed.")
        if isinstance(value, UnsafeText):
            raise TemplateError(f"the condition {_short(value)} is marked as unsafe, so it is not run as an expression")
        if value is not expression:
            self._trust(expression, [value])
        return _truth(self.expression(value) if isinstance(value, str) else value, expression)

    def conditions(self, given: Any) -> list[Any]:
        """The conditions that are given as one, as a list, or as a template that picks a list. Raises TemplateError."""
        if isinstance(given, str) and trust.is_template(given):
            found = self._text(given)
            if isinstance(found, list):
                self._trust(given, found)
                return found
        return given if isinstance(given, list) else [given]

    def all_hold(self, expressions: Iterable[Any]) -> Any | None:
        """The first condition that does not hold, or None. Raises TemplateError."""
        for expression in expressions:
            if not self.condition(expression):
                return expression
        return None

    def expression(self, text: str) -> Any:
        """The value of a bare expression. Raises TemplateError."""
        source = "{{ (" + text + ") }}"
        return self._explained(lambda: self.templates.render(source, self, value=False), text)

    def render_file(self, source: str, places: Iterable[str], options: Mapping[str, Any], name: str) -> str:
        """The text of a template file. Raises TemplateError."""
        return str(self._explained(lambda: self.templates.render_file(source, places, options, self), name))

    def _text(self, text: str) -> Any:
        if isinstance(text, UnsafeText | EncryptedText) or not any(sign in text for sign in _SIGNS):
            return text
        return self._explained(lambda: self.templates.render(text, self), text)

    def refuse_told(self, given: Any) -> None:
        """Raises TemplateError for a template, made of what a host said, that was to come to an expression."""
        if isinstance(given, UnsafeText) or (isinstance(given, str) and trust.told(given, self.namespace)):
            raise TemplateError(f"{_short(given)} comes to text that a host said, so it is not run as an expression")

    def _trust(self, condition: str, found: Iterable[Any]) -> None:
        if any(isinstance(value, str) for value in found) and not trust.picks(condition, self.namespace):
            raise TemplateError(
                f"the condition {_short(condition)} comes to text that is not run as an expression, "
                "since the playbook does not say it as it is: write the expression itself, without {{ }}"
            )

    def _explained(self, render: Callable[[], Any], shown: str) -> Any:
        try:
            return render()
        except jinja2.UndefinedError as error:
            raise UndefinedError(f"{error.message} (in {_short(shown)})") from error
        except jinja2.TemplateSyntaxError as error:
            raise TemplateError(f"template syntax: {error.message} (line {error.lineno} of {_short(shown)})") from error
        except jinja2.TemplateError as error:
            raise TemplateError(f"{type(error).__name__}: {error} (in {_short(shown)})") from error
        except PlaybookError:
            raise
        except RecursionError as error:
            raise TemplateError(f"variables refer to each other in a circle (in {_short(shown)})") from error
        except Exception as error:
            raise TemplateError(f"{error or type(error).__name__} (in {_short(shown)})") from error

    def _guarded(self, value: Any, name: str) -> Any:
        if self._depth > _DEEPEST:
            raise TemplateError(f"the variable {name!r} refers to itself in a circle")
        self._depth += 1
        try:
            return self._lenient(value)
        finally:
            self._depth -= 1

    def _lenient(self, value: Any) -> Any:
        """`template`, but what is undefined in a collection is an error only for who looks at that place."""
        if isinstance(value, dict):
            return {self.template(key): self._or_undefined(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self._or_undefined(item) for item in value]
        return self.template(value)

    def _or_undefined(self, value: Any) -> Any:
        try:
            return self._lenient(value)
        except UndefinedError as error:
            return environments.Missing(hint=str(error))


class _Variables(Mapping[str, Any]):
    """`vars`: all variables by name."""

    def __init__(self, scope: Evaluator) -> None:
        self._scope = scope

    def __getitem__(self, name: str) -> Any:
        value = self._scope.variable(name)
        if value is missing:
            raise KeyError(name)
        return value

    def __iter__(self) -> Any:
        return self._scope.namespace.names()

    def __len__(self) -> int:
        return sum(1 for _ in self)


def _truth(value: Any, expression: Any) -> bool:
    if isinstance(value, bool):
        return value
    raise TemplateError(
        f"Conditional result ({bool(value)}) was derived from value of type {type(value).__name__!r}. "
        f"Conditionals must have a boolean result: say `{expression} | bool`, or compare"
    )


def _short(text: str) -> str:
    line = " ".join(str(text).split())
    return repr(line if len(line) < 160 else line[:157] + "...")
