"""Expressions of the Common Expression Language, with the functions that Kubernetes adds to it.

The language itself (parser, type checker, evaluator) is google's cel-cpp, by way of cel-expr-python.

Invariant: an expression that compiled has been type-checked; evaluating it has no effect, and fails only as `CelError`.
Source: "Common Expression Language in Kubernetes" in the documentation; apiserver/pkg/cel.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from cel_expr_python import cel

from api.cel import budget, measuring, zeros
from api.cel.budget import OUT_OF_BUDGET
from api.cel.forms import with_optional_values
from api.cel.functions import FUNCTIONS

DYN = "dyn"
ADMISSION_VARIABLES = dict.fromkeys(
    (
        "object", "oldObject", "request", "params", "namespaceObject", "variables", "authorizer",
        "authorizer.requestResource",
    ),
    DYN,
)  # fmt: skip
"""What the expressions of webhooks and admission policies may name."""
_STANDARD = (
    "strings", "optional", "math", "sets", "bindings", "encoders", "lists", "two-var-comprehensions",
)  # fmt: skip
_MISSING_KEY = re.compile(r'^NOT_FOUND: Key not found in map : "(.*)"$', re.DOTALL)
_STATUS = re.compile(r"^[A-Z_]+: ")
_OVERLOAD = re.compile(r"^No matching overloads found.*", re.DOTALL)


class CelError(Exception):
    """The expression cannot be compiled, or its evaluation failed; the text says why, in the original's words."""


class Program:
    """A compiled expression."""

    def __init__(self, expression: Any, text: str) -> None:
        self._expression = expression
        self._measured = measuring.Measured(bytes(expression.serialize()))
        self.text = text

    @property
    def result_type(self) -> str:
        """`BOOL`, `STRING`, `DYN`, ..."""
        return str(self._expression.return_type().name())

    def serialized(self) -> bytes:
        """The checked expression, a CheckedExpr."""
        return bytes(self._expression.serialize())

    def evaluate(self, variables: Mapping[str, Any]) -> Any:
        """The value as plain Python. Raises CelError."""
        budget.begin()
        text = measuring.written(variables)
        if not self._measured.affords(variables, text):
            raise CelError(OUT_OF_BUDGET)
        has_zeros = text is None or zeros.WRITTEN in text
        try:
            if has_zeros:
                variables = zeros.replaced(dict(variables))
            value = self._expression.eval(data=variables)
            if value.type() == cel.Type.ERROR:
                raise CelError(_runtime_error(str(value.value())))
            found = value.plain_value()
            return zeros.replaced(found, zeros.STAND_IN, zeros.ZERO) if has_zeros else found
        except (RuntimeError, TypeError, ValueError) as error:
            raise CelError(_runtime_error(str(error))) from error


class Environment:
    """Compiles expressions over variables of known types; `types` is a descriptor pool from `api.cel.types`."""

    def __init__(self, variables: Mapping[str, str], types: Any = None, functions: Iterable[Any] = ()) -> None:
        self._env = cel.NewEnv(
            types,
            config=_standard(),
            variables={name: _type(kind) for name, kind in variables.items()},
            extensions=[cel.CelExtension("kubernetes", [*FUNCTIONS, *functions])],
        )

    def compile(self, text: str) -> Program:
        """Raises CelError with the checker's sentences."""
        try:
            return Program(self._env.compile(with_optional_values(zeros.without(text))), text)
        except (RuntimeError, ValueError) as error:
            raise CelError(_compile_error(str(error))) from error


@lru_cache(1)
def _standard() -> Any:
    return cel.NewEnvConfigFromYaml("extensions:\n" + "".join(f"- name: {name}\n" for name in _STANDARD))


def _type(kind: str) -> Any:
    return cel.Type.DYN if kind == DYN else cel.Type(kind)


def _compile_error(text: str) -> str:
    text = _STATUS.sub("", text).removesuffix(" [INVALID_ARGUMENT]")
    return "compilation failed: " + text


def _runtime_error(text: str) -> str:
    missing = _MISSING_KEY.match(text)
    if missing:
        return f"no such key: {missing[1]}"
    text = _STATUS.sub("", text)
    if text.startswith("divide by zero"):
        return "division by zero"
    if text.startswith("Iteration budget exceeded") or OUT_OF_BUDGET in text:
        return OUT_OF_BUDGET
    return _OVERLOAD.sub("no such overload", text)


__all__ = ["ADMISSION_VARIABLES", "DYN", "OUT_OF_BUDGET", "CelError", "Environment", "Program"]
