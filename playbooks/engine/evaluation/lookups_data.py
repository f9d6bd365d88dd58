"""Lookups of what is written down on this machine or said by a web server: tables, sections, pages, passwords.

Options may be words `name=value` in a term too, as `lookup('ini', 'user section=db file=app.ini')`; those hold for
that term and all after it.

Source: Ansible, lookups csvfile, ini, password, unvault and url.
"""

from __future__ import annotations

import configparser
import csv
import random
import re
import shlex
import string
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from playbooks.engine.evaluation.evaluator import Evaluator
from playbooks.engine.helper.options import boolean
from playbooks.errors import TemplateError

_PROPERTIES = "java_properties"
_PASSWORD_CHARACTERS = ("ascii_letters", "digits", ".,:-_")


def _terms(
    name: str, terms: Sequence[Any], options: Mapping[str, Any], defaults: Mapping[str, Any]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each term without the options in it, and the options that hold for it. Raises TemplateError."""
    given = {**defaults, **options}
    unknown = [option for option in options if option not in defaults]
    for term in terms:
        plain: list[str] = []
        for word in shlex.split(str(term)) if "=" in str(term) else [str(term)]:
            option, equals, value = word.partition("=")
            if equals and option in defaults:
                given[option] = value
            elif equals:
                unknown.append(option)
            else:
                plain.append(word)
        if unknown:
            raise TemplateError(f"lookup {name}: no option {unknown[0]!r}; there are {', '.join(sorted(defaults))}")
        yield " ".join(plain), given


def _csvfile(terms: list[Any], options: Mapping[str, Any], scope: Evaluator) -> list[Any]:
    defaults = {"file": "ansible.csv", "delimiter": "TAB", "col": 1, "keycol": 0, "default": [], "encoding": "utf-8"}
    values: list[Any] = []
    for key, given in _terms("csvfile", terms, options, defaults):
        text = scope.services.read(scope.services.find("files", str(given["file"])), str(given["encoding"]))
        delimiter = "\t" if given["delimiter"] == "TAB" else str(given["delimiter"])
        rows = csv.reader(text.splitlines(), delimiter=delimiter)
        found = next(
            (row for row in rows if len(row) > int(given["keycol"]) and row[int(given["keycol"])] == key), None
        )
        value = given["default"] if found is None else found[int(given["col"])]
        values.extend(value if isinstance(value, list) else [value])
    return values


def _ini(terms: list[Any], options: Mapping[str, Any], scope: Evaluator) -> list[Any]:
    defaults = {
        "type": "ini", "file": "ansible.ini", "section": "global", "re": False, "encoding": "utf-8", "default": "",
        "case_sensitive": False, "allow_no_value": False, "allow_none": False, "interpolation": True,
    }  # fmt: skip
    values: list[Any] = []
    for key, given in _terms("ini", terms, options, defaults):
        value = _ini_value(key, given, scope)
        values.extend(value if isinstance(value, list) else [value])
    return values


def _ini_value(key: str, given: Mapping[str, Any], scope: Evaluator) -> Any:
    interpolation = configparser.BasicInterpolation() if boolean(given["interpolation"]) else None
    empty = boolean(given["allow_no_value"]) or boolean(given["allow_none"])
    parser = configparser.ConfigParser(allow_no_value=empty, interpolation=interpolation)
    if boolean(given["case_sensitive"]):
        parser.optionxform = str  # type: ignore[assignment,method-assign]
    text = scope.services.read(scope.services.find("files", str(given["file"])), str(given["encoding"]))
    section = str(given["section"])
    if given["type"] == "properties":
        section, text = _PROPERTIES, f"[{_PROPERTIES}]\n{text}"
    try:
        parser.read_string(text)
        if boolean(given["re"]):
            return [value for name, value in parser.items(section) if re.match(key, name)]
        return parser.get(section, key)
    except configparser.NoOptionError:
        return given["default"]
    except configparser.Error as error:
        raise TemplateError(f"lookup ini: {given['file']}: {error.message}") from error


def _unvault(terms: list[Any], options: Mapping[str, Any], scope: Evaluator) -> list[Any]:
    return [scope.services.read(scope.services.find("files", str(term))) for term in terms]


def _url(terms: list[Any], options: Mapping[str, Any], scope: Evaluator) -> list[Any]:
    values: list[Any] = []
    for term in terms:
        request = urllib.request.Request(str(term), headers=dict(options.get("headers", {})))
        try:
            with urllib.request.urlopen(request, timeout=float(options.get("timeout", 10))) as answer:
                text = answer.read().decode("utf-8", "replace")
        except (urllib.error.URLError, OSError, ValueError) as error:
            raise TemplateError(f"lookup url: {term}: {error}") from error
        values.extend(text.splitlines() if boolean(options.get("split_lines", True)) else [text])
    return values


def _password(terms: list[Any], options: Mapping[str, Any], scope: Evaluator) -> list[Any]:
    defaults = {"length": 20, "chars": _PASSWORD_CHARACTERS, "seed": None, "encrypt": None, "ident": None}
    values = []
    for name, given in _terms("password", terms, options, defaults):
        path = Path(name) if Path(name).is_absolute() else scope.services.loader.directory / name
        kept = path.read_text(encoding="utf-8").rstrip("\n") if name != "/dev/null" and path.is_file() else ""
        password, _, salt = kept.partition(" salt=")
        password = password or _random_password(given)
        if given["encrypt"] and not salt:
            salt = "".join(random.SystemRandom().choice(string.ascii_letters + string.digits) for _ in range(16))
        content = f"{password} salt={salt}" if salt else password
        if name != "/dev/null" and content != kept:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.touch(mode=0o600)
            path.write_text(content + "\n", encoding="utf-8")
        values.append(_encrypted(password, given["encrypt"], salt))
    return values


def _random_password(given: Mapping[str, Any]) -> str:
    chars = given["chars"]
    if isinstance(chars, str):
        comma = [","] if ",," in chars else []
        chars = [*comma, *(part for part in chars.replace(",,", ",").split(",") if part)]
    letters = "".join(str(getattr(string, str(part), part)) for part in chars)
    letters = letters.replace('"', "").replace("'", "")
    source = random.SystemRandom() if given["seed"] is None else random.Random(given["seed"])
    return "".join(source.choice(letters) for _ in range(int(given["length"])))


def _encrypted(password: str, kind: Any, salt: str) -> str:
    if not kind:
        return password
    from playbooks.engine.evaluation.crypt import hashed

    return hashed(password, str(kind).removesuffix("_crypt"), salt)


DATA: Mapping[str, Callable[[list[Any], Mapping[str, Any], Evaluator], list[Any]]] = {
    "csvfile": _csvfile,
    "ini": _ini,
    "password": _password,
    "unvault": _unvault,
    "url": _url,
}
