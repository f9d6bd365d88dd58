"""Lookups: values from outside the variables, read on this machine.

Invariant: a lookup takes terms and options, gives a list; `lookup()` joins it with commas, `query()` keeps it.
Source: Ansible, "Lookups".
"""

from __future__ import annotations

import contextlib
import functools
import glob
import os
import re
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from jinja2 import TemplateError as JinjaError
from jinja2 import pass_context
from jinja2.runtime import Context
from jinja2.utils import missing

from inventory import vault
from inventory.documents import read_text
from inventory.errors import InventoryError
from playbooks.engine.evaluation.environment import SCOPE, Missing
from playbooks.engine.evaluation.evaluator import Evaluator
from playbooks.engine.evaluation.filters_paths import fileglob
from playbooks.errors import PlaybookError, TemplateError


class _Loads(Protocol):
    directory: Path
    secrets: vault.Secrets


@dataclass(frozen=True, slots=True)
class Services:
    """What lookups and actions need of the world: where files are looked for."""

    loader: _Loads
    places: tuple[Path, ...]

    def find(self, kind: str, name: str) -> Path:
        """A file by name: absolute, or in `kind` (files, templates, vars) of each place, or in the place itself.

        Raises PlaybookError naming where it was looked for.
        """
        path = Path(name).expanduser()
        if path.is_absolute():
            if path.exists():
                return path
            raise PlaybookError(f"the file {name!r} does not exist on this machine")
        for place in self.places:
            for candidate in (place / kind / path, place / path):
                if candidate.exists():
                    return candidate
        looked = ", ".join(str(place / kind) for place in self.places)
        raise PlaybookError(f"could not find {name!r} in {looked}")

    def read(self, path: Path, encoding: str = "utf-8") -> str:
        """The text of a file, decrypted if it is a vault. Raises PlaybookError."""
        try:
            text = read_text(path, encoding)
            return vault.decrypt(text, self.loader.secrets, str(path)) if vault.is_encrypted(text) else text
        except InventoryError as error:
            raise PlaybookError(str(error)) from error


Lookup = Callable[[list[Any], Mapping[str, Any], Evaluator], list[Any]]


def names() -> frozenset[str]:
    """All lookups."""
    return frozenset(_all())


def run(name: str, terms: Sequence[Any], options: Mapping[str, Any], scope: Evaluator) -> list[Any]:
    """The values of a lookup. Raises TemplateError for an unknown one or one that fails."""
    lookup = _all().get(name.removeprefix("ansible.builtin."))
    if lookup is None:
        raise TemplateError(f"the lookup {name!r} is not supported; supported: {', '.join(sorted(_all()))}")
    try:
        return lookup(list(terms), options, scope)
    except (PlaybookError, JinjaError):
        raise
    except Exception as error:
        # Whatever a lookup makes of terms that are none for it.
        raise TemplateError(f"lookup {name}: {error or type(error).__name__}") from error


@functools.cache
def _all() -> Mapping[str, Lookup]:
    from playbooks.engine.evaluation.lookups_config import CONFIG
    from playbooks.engine.evaluation.lookups_data import DATA
    from playbooks.engine.evaluation.lookups_lists import LISTS

    return {**_LOOKUPS, **LISTS, **DATA, **CONFIG}


def _file(terms: list[Any], options: Mapping[str, Any], scope: Evaluator) -> list[Any]:
    values = []
    for term in terms:
        text = scope.services.read(scope.services.find("files", str(term)))
        text = text.lstrip() if options.get("lstrip", False) else text
        values.append(text.rstrip() if options.get("rstrip", True) else text)
    return values


def _template(terms: list[Any], options: Mapping[str, Any], scope: Evaluator) -> list[Any]:
    from playbooks.engine.evaluation.template_files import render

    # A template without any text comes to nothing, as one in a playbook does.
    return [render(scope, str(term), options.get("template_vars", {}), options) or None for term in terms]


def _env(terms: list[Any], options: Mapping[str, Any], scope: Evaluator) -> list[Any]:
    return [os.environ.get(str(term), options.get("default", "")) for term in terms]


def _pipe(terms: list[Any], options: Mapping[str, Any], scope: Evaluator) -> list[Any]:
    return [_output(str(term), scope) for term in terms]


def _lines(terms: list[Any], options: Mapping[str, Any], scope: Evaluator) -> list[Any]:
    return [line for term in terms for line in _output(str(term), scope).splitlines()]


def _output(command: str, scope: Evaluator) -> str:
    done = subprocess.run(
        command, shell=True, cwd=scope.services.loader.directory, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise TemplateError(f"lookup pipe: {command!r} ended with status {done.returncode}: {done.stderr.strip()}")
    return done.stdout.rstrip()


def _vars(terms: list[Any], options: Mapping[str, Any], scope: Evaluator) -> list[Any]:
    values = []
    for term in terms:
        if not isinstance(term, str):
            raise TemplateError(f"Variable name must be 'str' not {type(term).__name__!r}")
        value = scope.variable(term)
        if value is missing:
            if "default" not in options:
                raise TemplateError(f"No variable named {term!r} was found")
            value = options["default"]
        values.append(value)
    return values


def _varnames(terms: list[Any], options: Mapping[str, Any], scope: Evaluator) -> list[Any]:
    for term in terms:
        if not isinstance(term, str):
            raise TemplateError(f"varnames: {term!r} is no regular expression but {type(term).__name__!r}")
    return [name for term in terms for name in scope.namespace.names() if re.search(term, name)]


def _first_found(terms: list[Any], options: Mapping[str, Any], scope: Evaluator) -> list[Any]:
    candidates: list[str] = []
    words = dict(options)
    for term in terms or [words.get("files", [])]:
        if isinstance(term, Mapping):
            words = dict(term)
        names = _split(words.get("files", []) if isinstance(term, Mapping) else term, ",;")
        places = _split(words.get("paths", []), ",:;")
        candidates.extend([str(Path(place) / name) for place in places for name in names] if places else names)
    for candidate in candidates:
        with contextlib.suppress(PlaybookError):
            return [str(scope.services.find(options.get("kind", ""), candidate))]
    if words.get("skip", False):
        return []
    raise TemplateError(f"No file was found when using first_found: {', '.join(candidates)}")


def _split(given: Any, separators: str) -> list[str]:
    texts = given if isinstance(given, list) else [given]
    return [part for text in texts for part in re.split(f"[{separators}]", str(text))]


def _fileglob(terms: list[Any], options: Mapping[str, Any], scope: Evaluator) -> list[Any]:
    found: list[str] = []
    for term in terms:
        path = Path(str(term))
        bases = (
            [Path(path.anchor)] if path.is_absolute() else [p / k for p in scope.services.places for k in ("files", "")]
        )
        for base in bases:
            hits = fileglob(Path(glob.escape(str(base.absolute())), path.relative_to(path.anchor)))
            if hits:
                found.extend(hits)
                break
    return found


_LOOKUPS: dict[str, Lookup] = {
    "file": _file,
    "template": _template,
    "env": _env,
    "pipe": _pipe,
    "lines": _lines,
    "vars": _vars,
    "varnames": _varnames,
    "first_found": _first_found,
    "fileglob": _fileglob,
}


def _scope(context: Context) -> Evaluator:
    scope: Evaluator = context.parent[SCOPE]
    return scope


# These take lists as they are given; to the others, a list is several terms.
WHOLE_TERMS = frozenset(
    (
        "cartesian",
        "dict",
        "flattened",
        "indexed_items",
        "items",
        "list",
        "nested",
        "random_choice",
        "subelements",
        "together",
    )
)


@pass_context
def query(context: Context, name: str, *terms: Any, **options: Any) -> list[Any]:
    """The values of a lookup as a list."""
    options.pop("wantlist", None)
    return _values(context, name, terms, options) or []


def _values(context: Context, name: str, terms: Sequence[Any], options: dict[str, Any]) -> list[Any] | None:
    """The values of a lookup; None if it failed and that was to be ignored."""
    errors = options.pop("errors", "strict")
    flat = [item for term in terms for item in (term if isinstance(term, list) else [term])]
    for term in flat:
        if isinstance(term, Missing):
            term.refuse()
    raw = name.removeprefix("ansible.builtin.") in WHOLE_TERMS
    try:
        return run(name, terms if raw else flat, options, _scope(context))
    except PlaybookError:
        if errors in ("ignore", "warn"):
            return None
        raise


@pass_context
def lookup(context: Context, name: str, *terms: Any, **options: Any) -> Any:
    """The values of a lookup joined with commas, or the only one as it is."""
    wants_list = options.pop("wantlist", False)
    values = _values(context, name, terms, options)
    if wants_list:
        return values or []
    if values is not None and len(values) == 1:
        return values[0]
    return ",".join(values) if values and all(isinstance(value, str) for value in values) else values


def now(utc: bool = False, fmt: str | None = None) -> Any:
    """The present time."""
    moment = datetime.now(UTC).replace(tzinfo=None) if utc else datetime.now()
    return moment.strftime(fmt) if fmt else moment


def undef(hint: str | None = None) -> Missing:
    """An undefined value on purpose."""
    return Missing(hint=hint)


GLOBALS: dict[str, Any] = {"lookup": lookup, "query": query, "q": query, "now": now, "undef": undef}
