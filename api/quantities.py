"""Amounts of resources such as `1500m`, `1Gi` or `2e3`, exact, and written the one way the original writes them.

Invariant: a `Quantity` is an exact number of billionths; smaller fractions are rounded away from zero when read, as
the original does. Formatting a parsed text and parsing it again gives the same quantity and the same text.
Source: apimachinery's resource.Quantity ("Quantity" in the API reference).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

Format = Literal["DecimalSI", "BinarySI", "DecimalExponent"]

_NANO = 10**9
_LIMIT = (2**63 - 1) * _NANO
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY = {"Ki": 1, "Mi": 2, "Gi": 3, "Ti": 4, "Pi": 5, "Ei": 6}
_SUFFIX = {exponent: suffix for suffix, exponent in _DECIMAL.items()}
_SHAPE = re.compile(r"([+-]?)([0-9]*)(?:\.([0-9]*))?((?:[eE][+-]?[0-9]+)|[eEinumkKMGTP]*)", re.ASCII)

WRONG_FORMAT = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
WRONG_SUFFIX = "unable to parse quantity's suffix"
_MAX_EXPONENT = 1000


@dataclass(frozen=True, slots=True)
class Quantity:
    """`nano` billionths, and the family of suffixes it was written with."""

    nano: int
    format: Format = "DecimalSI"

    def __str__(self) -> str:
        return _render(self.nano, self.format)

    def value(self) -> int:
        """Whole units, rounded away from zero: bytes of memory."""
        return _round_up(self.nano, _NANO)

    def milli(self) -> int:
        """Thousandths, rounded away from zero: thousandths of a CPU."""
        return _round_up(self.nano, _NANO // 1000)

    def __add__(self, other: Quantity) -> Quantity:
        """The sum, in this one's format unless this one is zero."""
        return Quantity(self.nano + other.nano, self.format if self.nano else other.format)

    def __sub__(self, other: Quantity) -> Quantity:
        """The difference, in this one's format unless this one is zero."""
        return Quantity(self.nano - other.nano, self.format if self.nano else other.format)

    def __lt__(self, other: Quantity) -> bool:
        return self.nano < other.nano

    def __le__(self, other: Quantity) -> bool:
        return self.nano <= other.nano

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Quantity) and self.nano == other.nano

    def __hash__(self) -> int:
        return hash(self.nano)

    def rounded_to_milli(self) -> Quantity:
        """This amount in whole thousandths, as resource lists are stored."""
        return Quantity(self.milli() * (_NANO // 1000), self.format)


ZERO = Quantity(0)


@lru_cache(maxsize=4096)
def parse(text: str | int | float) -> Quantity:
    """Read a quantity. Raises ValueError with the original's words."""
    if isinstance(text, float):
        text = repr(text)
    match = _SHAPE.fullmatch(str(text).strip())
    if match is None or not (match[2] or match[3]):
        raise ValueError(WRONG_FORMAT)
    sign, whole, fraction, suffix = match[1], match[2], match[3] or "", match[4]
    format_, factor, exponent = _scale(suffix)
    digits = int((whole + fraction) or "0") * factor
    nano = _shifted(digits, exponent - len(fraction) + 9)
    nano = min(nano, _LIMIT)
    return Quantity(-nano if sign == "-" else nano, format_)


def canonical(text: str | int | float) -> str:
    """The original's spelling of a quantity. Raises ValueError like `parse`."""
    return str(parse(text))


def _scale(suffix: str) -> tuple[Format, int, int]:
    """(family, binary factor, decimal exponent) of a suffix."""
    if suffix in _DECIMAL:
        return "DecimalSI", 1, _DECIMAL[suffix]
    if suffix in _BINARY:
        return "BinarySI", 1024 ** _BINARY[suffix], 0
    if len(suffix) > 1 and suffix[0] in "eE" and suffix[-1].isdigit():
        exponent = int(suffix[1:])
        if abs(exponent) > _MAX_EXPONENT:
            raise ValueError(WRONG_SUFFIX)
        return "DecimalExponent", 1, exponent
    raise ValueError(WRONG_SUFFIX)


def _shifted(digits: int, exponent: int) -> int:
    return digits * 10**exponent if exponent >= 0 else _round_up(digits, 10**-exponent)


def _round_up(amount: int, unit: int) -> int:
    """Divide, away from zero."""
    return amount // unit if amount < 0 else -(-amount // unit)


def _render(nano: int, format_: Format) -> str:
    if nano == 0:
        return "0"
    if format_ == "BinarySI" and abs(nano) >= 1024 * _NANO:
        number, power = _round_up(nano, _NANO), 0
        while power < 6 and number % 1024 == 0:
            number, power = number // 1024, power + 1
        return f"{number}{next((name for name, exponent in _BINARY.items() if exponent == power), '')}"
    number, exponent = nano, -9
    while number % 1000 == 0 and exponent < 18:
        number, exponent = number // 1000, exponent + 3
    if format_ == "DecimalExponent":
        return f"{number}e{exponent}" if exponent else str(number)
    return f"{number}{_SUFFIX[exponent]}"
