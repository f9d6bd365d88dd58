"""Which objects a request or a controller means: label selectors and field selectors, read, matched and written.

Invariant: a selector is a value; matching never fails, only reading does (ValueError with the original's words).
Source: apimachinery's `labels` and `fields` packages; "Labels and Selectors" in the Kubernetes documentation.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from api import names

_TOKEN = re.compile(r"\s*(==|!=|=|!|\(|\)|,|<|>|[^\s=!(),<>]+)")
_SYMBOLS = {"=", "==", "!=", "!", "(", ")", ",", "<", ">"}
_OPERATORS = "in, notin, =, ==, !=, gt, lt"
_FROM_JSON = {"In": "in", "NotIn": "notin", "Exists": "exists", "DoesNotExist": "!"}


@dataclass(frozen=True, slots=True)
class Requirement:
    """One condition on one label. `operator` is one of `= != in notin exists ! gt lt`."""

    key: str
    operator: str
    values: tuple[str, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether these labels meet the condition; an absent label meets `!=` and `notin`."""
        present = self.key in labels
        if self.operator in ("=", "in"):
            return present and labels[self.key] in self.values
        if self.operator in ("!=", "notin"):
            return not present or labels[self.key] not in self.values
        if self.operator == "exists":
            return present
        if self.operator == "!":
            return not present
        return present and _compares(labels[self.key], self.operator, self.values[0])

    def __str__(self) -> str:
        if self.operator == "exists":
            return self.key
        if self.operator == "!":
            return f"!{self.key}"
        if self.operator in ("in", "notin"):
            return f"{self.key} {self.operator} ({','.join(sorted(self.values))})"
        sign = {"gt": ">", "lt": "<"}.get(self.operator, self.operator)
        return f"{self.key}{sign}{self.values[0]}"


def _compares(have: str, operator: str, want: str) -> bool:
    try:
        return int(have) > int(want) if operator == "gt" else int(have) < int(want)
    except ValueError:
        return False


@dataclass(frozen=True, slots=True)
class LabelSelector:
    """Conditions that must all hold. Without conditions everything matches; `nothing` matches no object."""

    requirements: tuple[Requirement, ...] = ()
    nothing: bool = False

    @classmethod
    def parse(cls, text: str) -> LabelSelector:
        """Read `app=web,tier in (a,b),!old`. Raises ValueError."""
        requirements = _Parser(text).requirements()
        return cls(tuple(sorted(requirements, key=lambda requirement: requirement.key)))

    @classmethod
    def from_json(cls, selector: Mapping[str, Any] | None) -> LabelSelector:
        """From a LabelSelector object; None selects nothing, {} everything. Raises ValueError on an operator."""
        if selector is None:
            return cls(nothing=True)
        labels = selector.get("matchLabels") or {}
        found = [Requirement(key, "=", (value,)) for key, value in labels.items()]
        for expression in selector.get("matchExpressions") or []:
            operator = _FROM_JSON.get(expression.get("operator", ""))
            if operator is None:
                raise ValueError(f'"{expression.get("operator", "")}" is not a valid label selector operator')
            found.append(Requirement(expression.get("key", ""), operator, tuple(expression.get("values") or ())))
        return cls(tuple(sorted(found, key=lambda requirement: requirement.key)))

    @classmethod
    def from_set(cls, labels: Mapping[str, str] | None) -> LabelSelector:
        """From a plain map, as Services and ReplicationControllers have it; {} or None selects everything."""
        return cls(tuple(Requirement(key, "=", (value,)) for key, value in sorted((labels or {}).items())))

    def matches(self, labels: Mapping[str, str] | None) -> bool:
        """Whether an object with these labels is meant."""
        have = labels or {}
        return not self.nothing and all(requirement.matches(have) for requirement in self.requirements)

    @property
    def empty(self) -> bool:
        """Whether everything matches."""
        return not self.requirements and not self.nothing

    def __str__(self) -> str:
        return ",".join(str(requirement) for requirement in self.requirements)


class _Parser:
    """Recursive descent over the tokens of a label selector, with the original's error sentences."""

    def __init__(self, text: str) -> None:
        self._tokens = _TOKEN.findall(text)
        self._position = 0

    def _peek(self) -> str:
        return self._tokens[self._position] if self._position < len(self._tokens) else ""

    def _next(self) -> str:
        token = self._peek()
        self._position += 1
        return token

    def requirements(self) -> list[Requirement]:
        found: list[Requirement] = []
        while True:
            token = self._peek()
            if token == "":
                return found
            if token in _SYMBOLS and token != "!":
                raise ValueError(f"found '{token}', expected: !, identifier, or 'end of string'")
            try:
                found.append(self._requirement())
            except ValueError as error:
                raise ValueError(f"unable to parse requirement: {error}") from None
            separator = self._next()
            if separator == "":
                return found
            if separator != ",":
                raise ValueError(f"found '{separator}', expected: ',' or 'end of string'")
            following = self._peek()
            if following == "" or (following in _SYMBOLS and following != "!"):
                raise ValueError(f"found '{following}', expected: identifier after ','")

    def _requirement(self) -> Requirement:
        negated = self._peek() == "!"
        if negated:
            self._next()
        key = self._next()
        if key == "" or key in _SYMBOLS:
            raise ValueError(f"found '{key}', expected: identifier")
        _check("key", key, names.label_key_problems(key))
        if negated:
            return Requirement(key, "!")
        if self._peek() in ("", ","):
            return Requirement(key, "exists")
        operator, values = self._operator_and_values()
        return self._checked(Requirement(key, operator, values))

    def _operator_and_values(self) -> tuple[str, tuple[str, ...]]:
        token = self._next()
        if token in ("in", "notin"):
            return token, self._set()
        operator = {"=": "=", "==": "=", "!=": "!=", ">": "gt", "<": "lt"}.get(token)
        if operator is None:
            raise ValueError(f"found '{token}', expected: {_OPERATORS}")
        if self._peek() in ("", ","):
            return operator, ("",)
        value = self._next()
        if value in _SYMBOLS:
            raise ValueError(f"found '{value}', expected: identifier")
        return operator, (value,)

    def _set(self) -> tuple[str, ...]:
        token = self._next()
        if token != "(":
            raise ValueError(f"found '{token}' expected: '('")
        first = self._peek()
        if first == "" or (first in _SYMBOLS and first not in ",)"):
            raise ValueError(f"found '{self._next()}', expected: ',', ')' or identifier")
        values: list[str] = []
        wants_value = True
        while True:
            token = self._next()
            if token == ")":
                return tuple(dict.fromkeys(values + [""] * wants_value))
            if token == ",":
                if wants_value:
                    values.append("")
                wants_value = True
            elif not wants_value:
                raise ValueError(f"found '{token}', expected: ',' or ')'")
            elif token == "" or token in _SYMBOLS:
                raise ValueError(f"found '{token}', expected: ',', or identifier")
            else:
                values.append(token)
                wants_value = False

    def _checked(self, requirement: Requirement) -> Requirement:
        if requirement.operator in ("gt", "lt"):
            text = requirement.values[0]
            if not re.fullmatch(r"[+-]?\d+", text):
                _check(
                    f"values[0][{requirement.key}]", text, ["for 'Gt', 'Lt' operators, the value must be an integer"]
                )
            return requirement
        for index, value in enumerate(requirement.values):
            _check(f"values[{index}][{requirement.key}]", value, names.label_value_problems(value))
        return requirement


def _check(field: str, value: str, problems: Iterable[str]) -> None:
    sentence = "; ".join(problems)
    if sentence:
        raise ValueError(f'{field}: Invalid value: "{value}": {sentence}')


@dataclass(frozen=True, slots=True)
class FieldTerm:
    """One condition on one field; `equal` tells `=` from `!=`."""

    field: str
    value: str
    equal: bool = True


@dataclass(frozen=True, slots=True)
class FieldSelector:
    """Conditions on fields that must all hold."""

    terms: tuple[FieldTerm, ...] = ()

    @classmethod
    def parse(cls, text: str) -> FieldSelector:
        r"""Read `spec.nodeName=n1,status.phase!=Running`; `\,`, `\=` and `\\` escape. Raises ValueError."""
        parts = sorted(re.findall(r"(?:\\.|[^,\\])+", text))
        return cls(tuple(_field_term(text, part) for part in parts))

    def matches(self, getter: Callable[[str], str]) -> bool:
        """Whether an object is meant; `getter` returns the text of a field, "" if absent."""
        return all((getter(term.field) == term.value) == term.equal for term in self.terms)

    def value_of(self, field: str) -> str | None:
        """The value that `field` must equal, if the selector says so: lets a list go straight to one object."""
        for term in self.terms:
            if term.field == field and term.equal:
                return term.value
        return None

    @property
    def empty(self) -> bool:
        """Whether everything matches."""
        return not self.terms

    def __str__(self) -> str:
        return ",".join(f"{term.field}{'=' if term.equal else '!='}{_escaped(term.value)}" for term in self.terms)


def _field_term(text: str, part: str) -> FieldTerm:
    match = re.fullmatch(r"((?:\\.|[^=!\\]|!(?!=))*?)(!=|==|=)(.*)", part, re.DOTALL)
    if match is None:
        raise ValueError(f"invalid selector: '{text}'; can't understand '{part}'")
    value = match[3]
    if re.search(r"(?<!\\)(?:\\\\)*=", value):
        raise ValueError(f"invalid field selector: unescaped character in value: {ord('=')}")
    return FieldTerm(match[1], re.sub(r"\\([\\,=])", r"\1", value), match[2] != "!=")


def _escaped(value: str) -> str:
    return re.sub(r"([\\,=])", r"\\\1", value)
