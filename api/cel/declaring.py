"""How functions are declared to the evaluator.

Invariant: an implementation raises ValueError for what it cannot read; the evaluator makes that an error of the
expression.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from cel_expr_python import cel

from api.cel.budget import counted

Implementation = Callable[..., Any]


def function(name: str, *overloads: tuple[Any, Sequence[Any], bool, Implementation]) -> Any:
    """A declaration from (result, parameters, whether it is a method, implementation)."""
    return cel.FunctionDecl(
        name,
        [
            cel.Overload(
                f"kubernetes_{name.replace('.', '_')}_{index}",
                return_type=result,
                parameters=list(parameters),
                is_member=is_member,
                impl=counted(name, implementation),
            )
            for index, (result, parameters, is_member, implementation) in enumerate(overloads)
        ],
    )


def method(name: str, result: Any, parameters: Sequence[Any], implementation: Implementation) -> Any:
    """A function that is called on its first parameter."""
    return function(name, (result, parameters, True, implementation))


def plain(name: str, result: Any, parameters: Sequence[Any], implementation: Implementation) -> Any:
    """A function that is called by its name."""
    return function(name, (result, parameters, False, implementation))


def holds(read: Callable[[str], Any]) -> Callable[[str], bool]:
    """Whether a text can be read so."""

    def run(text: str) -> bool:
        try:
            read(text)
        except ValueError:
            return False
        return True

    return run
