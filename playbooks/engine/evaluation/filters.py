"""Filters on text, numbers and single values.

Source: Ansible, "Using filters to manipulate data".
"""

from __future__ import annotations

import base64
import datetime
import hashlib
import math
import pprint
import random as randomness
import re
import shlex
import string
import time
import uuid
from collections.abc import Callable, Iterator, KeysView, Mapping, Sequence, ValuesView
from typing import Any
from urllib.parse import unquote_plus, urlsplit

import jinja2
from jinja2 import pass_environment

from playbooks.errors import TemplateError

_UUID_NAMESPACE = uuid.UUID("361E6D51-FAEC-444A-9079-341386DA8E2E")
_UNITS = "YZEPTGMKB"
_PREFIXES = dict(zip(_UNITS, ("yotta", "zetta", "exa", "peta", "tera", "giga", "mega", "kilo", "")))
_SIZE = re.compile(r"^([0-9]*\.?[0-9]+)(?:\s*([A-Za-z]+))?\s*$")


def to_bool(value: Any) -> Any:
    """True for the words of truth that this filter knows: fewer than a module's parameters do."""
    return (str(value).lower() if isinstance(value, str | int) else value) in ("yes", "on", "true", "1", 1)


def mandatory(value: Any, msg: str | None = None) -> Any:
    """The value, or an error if it is undefined."""
    if isinstance(value, jinja2.Undefined):
        raise TemplateError(msg or f"Mandatory variable {value._undefined_name or ''} not defined.")
    return value


def ternary(value: Any, true: Any, false: Any, none: Any = None) -> Any:
    """One of two values by the truth of a third; `none` for None if given."""
    if value is None and none is not None:
        return none
    return true if bool(value) else false


def quote(value: Any) -> str:
    """The text as one word of the shell."""
    return shlex.quote("" if value is None else str(value))


def _flags(ignorecase: bool, multiline: bool) -> int:
    return (re.IGNORECASE if ignorecase else 0) | (re.MULTILINE if multiline else 0)


def regex_replace(
    value: Any,
    pattern: str = "",
    replacement: str = "",
    ignorecase: bool = False,
    multiline: bool = False,
    count: int = 0,
    mandatory_count: int = 0,
) -> str:
    """The text with matches replaced. Raises TemplateError for fewer than `mandatory_count`."""
    done, number = re.subn(pattern, replacement, str(value), count=count, flags=_flags(ignorecase, multiline))
    if mandatory_count and number != mandatory_count:
        raise TemplateError(
            f"'{pattern}' should match {mandatory_count} times, but matches {number} times in '{value}'"
        )
    return done


def regex_search(value: Any, pattern: str, *groups: str, ignorecase: bool = False, multiline: bool = False) -> Any:
    """The first match, or the groups asked for as `\\\\g<name>` or `\\\\1`; None if there is none."""
    wanted = [_group(text) for text in groups]
    found = re.search(pattern, str(value), _flags(ignorecase, multiline))
    if not found:
        return None
    return [found.group(group) for group in wanted] if wanted else found.group()


def _group(text: str) -> str | int:
    named, numbered = re.match(r"\\g<(\S+)>", text), re.match(r"\\(\d+)", text)
    if not named and not numbered:
        raise TemplateError(f"regex_search: unknown argument {text!r}")
    return named[1] if named else int(numbered[1])  # type: ignore[index]


def regex_findall(value: Any, pattern: str, multiline: bool = False, ignorecase: bool = False) -> list[Any]:
    """All matches."""
    return re.findall(pattern, str(value), _flags(ignorecase, multiline))


def regex_escape(value: Any, re_type: str = "python") -> str:
    """The text with a regular expression's signs made plain."""
    if re_type == "posix_basic":
        return re.sub(r"([].[^$*\\])", r"\\\1", str(value))
    if re_type != "python":
        raise TemplateError(f"regex_escape: the type {re_type!r} is neither python nor posix_basic")
    return re.escape(str(value))


def split(value: str, separator: str | None = None) -> list[str]:
    """The parts of a text."""
    return value.split(separator)


def b64encode(value: Any, encoding: str = "utf-8", urlsafe: bool = False) -> str:
    """Base64 of a text."""
    encode = base64.urlsafe_b64encode if urlsafe else base64.b64encode
    return encode(str(value).encode(encoding, "surrogateescape")).decode()


def b64decode(value: Any, encoding: str = "utf-8", urlsafe: bool = False) -> str:
    """The text of a base64 text."""
    decode = base64.urlsafe_b64decode if urlsafe else base64.b64decode
    return decode(str(value)).decode(encoding, "surrogateescape")


def digest(value: Any, algorithm: str = "sha1") -> str:
    """A hash in hex."""
    return hashlib.new(algorithm, str(value).encode("utf-8", "surrogateescape")).hexdigest()


def to_uuid(value: Any, namespace: Any = _UUID_NAMESPACE) -> str:
    """A UUID that always is the same for the same text."""
    space = namespace if isinstance(namespace, uuid.UUID) else uuid.UUID(str(namespace))
    return str(uuid.uuid5(space, str(value)))


def human_readable(size: Any, isbits: bool = False, unit: str | None = None) -> str:
    """A size with a unit."""
    if isinstance(size, str):
        raise TemplateError(f"human_readable: {size!r} is a text, not a number")
    base, number = ("bits" if isbits else "Bytes"), float(size)
    for index, letter in enumerate(_UNITS):
        limit = 1 << (10 * (len(_UNITS) - 1 - index))
        if (unit is None and number >= limit) or (unit is not None and unit.upper() == letter):
            break
    suffix = base if limit == 1 else letter + base[0].replace("b", "b")
    return f"{number / limit:.2f} {suffix}"


def human_to_bytes(size: Any, default_unit: str | None = None, isbits: bool = False) -> int:
    """Bytes of a size with a unit, or bits: `MB` is of bytes alone, `Mb` of bits, `M` of either."""
    found = _SIZE.match(str(size))
    unit = (found[2] or default_unit or "B") if found else ""
    power = _UNITS[::-1].find(unit[:1].upper()) if unit else -1
    if not found or power < 0:
        raise TemplateError(f"human_to_bytes: {size!r} is no number with one of the units {', '.join(_UNITS)}")
    short, long = ("b", "bit") if isbits else ("B", "byte")
    letter = unit[0].upper()
    if len(unit) > 1 and unit != letter + short and unit.lower() != _PREFIXES[letter] + long:
        raise TemplateError(f"human_to_bytes: {size!r}: the unit must be {letter}{short} or {letter}")
    return round(float(found[1]) * (1 << 10 * power))


def strftime(pattern: str, second: Any = None, utc: bool = False) -> str:
    """A time in a format; now if no second is given."""
    moment = float(second) if second is not None else time.time()
    return time.strftime(pattern, time.gmtime(moment) if utc else time.localtime(moment))


def to_datetime(value: str, format: str = "%Y-%m-%d %H:%M:%S") -> datetime.datetime:
    """The time that a text says."""
    return datetime.datetime.strptime(value, format)


def random(end: Any, start: int | None = None, step: int | None = None, seed: Any = None) -> Any:
    """A random number below `end`, or a random item of it."""
    source = randomness.Random(seed) if seed is not None else randomness.SystemRandom()
    if isinstance(end, int):
        return source.randrange(start or 0, end, step or 1)
    if start or step:
        raise TemplateError("random: start and step are for numbers")
    return source.choice(list(end))


def shuffle(items: Sequence[Any], seed: Any = None) -> list[Any]:
    """The items in random order."""
    mixed = list(items)
    (randomness.Random(seed) if seed is not None else randomness.SystemRandom()).shuffle(mixed)
    return mixed


def logarithm(value: float, base: float = math.e) -> float:
    """The logarithm."""
    return math.log10(value) if base == 10 else math.log(value, base)


def root(value: float, base: float = 2) -> float:
    """The root."""
    return math.sqrt(value) if base == 2 else math.pow(value, 1.0 / float(base))


def url_parts(value: str, query: str = "") -> Any:
    """The parts of a URL, or the one asked for."""
    parsed = urlsplit(value)
    names = ("fragment", "hostname", "netloc", "password", "path", "port", "query", "scheme", "username")
    parts = {name: getattr(parsed, name) for name in names}
    if query and query not in parts:
        raise TemplateError(f"urlsplit: unknown part {query!r}; known: {', '.join(parts)}")
    return parts[query] if query else parts


_COMMENTS = {
    "plain": {"decoration": "# "},
    "erlang": {"decoration": "% "},
    "c": {"decoration": "// "},
    "cblock": {"beginning": "/*", "decoration": " * ", "end": " */"},
    "xml": {"beginning": "<!--", "decoration": " - ", "end": "-->"},
}


def comment(text: str, style: str = "plain", **given: Any) -> str:
    """The text as a comment. Raises TemplateError for an unknown style."""
    if style not in _COMMENTS:
        raise TemplateError(f"comment: the style {style!r} is none of {', '.join(_COMMENTS)}")
    words: dict[str, Any] = {**_COMMENTS[style], **given}
    newline, decoration = words.get("newline", "\n"), words["decoration"]
    around = decoration.rstrip()
    prefix, postfix = words.get("prefix", around), words.get("postfix", around)
    lines = text.split(newline)
    # A line that is empty has no blanks either, but the last.
    body = [decoration + line if line else around for line in lines[:-1]] + [decoration + lines[-1]]
    before = [words["beginning"]] if words.get("beginning") else []
    after = [words["end"]] if words.get("end") else []
    if prefix:
        # A prefix that is a newline is not followed by another.
        before += ([""] if prefix == newline else [prefix]) * int(words.get("prefix_count", 1))
    return str(newline.join([*before, *body, *[postfix] * int(words.get("postfix_count", 1)), *after]))


def password_hash(
    password: str,
    hashtype: str = "sha512",
    salt: str | None = None,
    rounds: int | None = None,
    ident: str | None = None,
    **_: Any,
) -> str:
    """The crypt(3) hash of a password. Raises TemplateError for an unknown type."""
    from playbooks.engine.evaluation.crypt import BCRYPT, hashed

    letters = string.ascii_letters + string.digits + "./"
    chosen = salt or "".join(randomness.SystemRandom().choice(letters) for _ in range(22 if hashtype in BCRYPT else 16))
    return hashed(str(password), hashtype, chosen, rounds, ident)


def type_debug(value: Any) -> str:
    """The name of the value's type; what is made on demand counts as the list that it becomes."""
    if isinstance(value, jinja2.Undefined):
        return "UndefinedMarker"
    return "list" if isinstance(value, Iterator | KeysView | ValuesView) else type(value).__name__


@pass_environment
def extract(environment: jinja2.Environment, item: Any, container: Any, morekeys: Any = None) -> Any:
    """The item's entry in a container, and further down."""
    keys = [item] if morekeys is None else [item, *(morekeys if isinstance(morekeys, list) else [morekeys])]
    value = container
    for key in keys:
        value = environment.getitem(value, key)
    return value


def _hash(algorithm: str) -> Callable[[Any], str]:
    return lambda value: digest(value, algorithm)


FILTERS: Mapping[str, Callable[..., Any]] = {
    "bool": to_bool,
    "mandatory": mandatory,
    "ternary": ternary,
    "quote": quote,
    "regex_replace": regex_replace,
    "regex_search": regex_search,
    "regex_findall": regex_findall,
    "regex_escape": regex_escape,
    "split": split,
    "b64encode": b64encode,
    "b64decode": b64decode,
    "hash": digest,
    "checksum": digest,
    "md5": _hash("md5"),
    "sha1": _hash("sha1"),
    "to_uuid": to_uuid,
    "human_readable": human_readable,
    "human_to_bytes": human_to_bytes,
    "strftime": strftime,
    "to_datetime": to_datetime,
    "random": random,
    "shuffle": shuffle,
    "log": logarithm,
    "pow": math.pow,
    "root": root,
    "urlsplit": url_parts,
    "urldecode": unquote_plus,
    "pprint": lambda value: pprint.pformat(value) if isinstance(value, str) else repr(value),
    "comment": comment,
    "password_hash": password_hash,
    "type_debug": type_debug,
    "extract": extract,
}
