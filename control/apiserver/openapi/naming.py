"""What operations are called: generators make of it the methods, classes and documentation of clients.

Invariant: an operation has the name that the original gives it, so that a generated client keeps its methods.
Source: apiserver/pkg/endpoints/{installer,openapi/openapi}.go.
"""

from __future__ import annotations

from dataclasses import dataclass

from api.resources import Resource

_VERBS = {
    "get": "read", "list": "list", "create": "create", "update": "replace", "patch": "patch", "delete": "delete",
    "deletecollection": "deletecollection",
}  # fmt: skip
_SENTENCES = {
    "list": "list or watch objects of kind {kind}",
    "create": "create {article}{kind}",
    "get": "read the specified {kind}",
    "update": "replace the specified {kind}",
    "patch": "partially update the specified {kind}",
    "delete": "delete {article}{kind}",
    "deletecollection": "delete collection of {kind}",
}
_SUBRESOURCE_SENTENCES = {
    "create": "create {part} of {article}{kind}",
    "get": "read {part} of the specified {kind}",
    "update": "replace {part} of the specified {kind}",
    "patch": "partially update {part} of the specified {kind}",
}


@dataclass(frozen=True, slots=True)
class Names:
    """How one operation is called."""

    identifier: str
    tag: str
    sentence: str


def names(resource: Resource, verb: str, subresource: str, scope: str, tail: str) -> Names:
    """The names of a verb on a resource or on its subresource.

    `scope` is "Namespaced" or "", `tail` tells paths of the same verb apart ("ForAllNamespaces").
    """
    words = f"{scope}{resource.kind}{subresource[:1].upper()}{subresource[1:]}{tail}"
    fitting = _SUBRESOURCE_SENTENCES if subresource else _SENTENCES
    sentence = fitting[verb].format(kind=resource.kind, article=_article(resource.kind), part=subresource)
    prefix = _VERBS[verb]
    if prefix == "deletecollection":
        prefix, words = "delete", f"Collection{words}"
    return Names(_identifier(prefix, resource, words), tag(resource), sentence)


def connection_names(resource: Resource, method: str, subresource: str, scope: str, tail: str) -> Names:
    """The names of an HTTP method on a subresource that connects to something."""
    words = f"{scope}{resource.kind}{subresource.capitalize()}{tail}"
    sentence = f"connect {method.upper()} requests to {subresource} of {resource.kind}"
    return Names(_identifier(f"connect{method.capitalize()}", resource, words), tag(resource), sentence)


def tag(resource: Resource) -> str:
    """`apps_v1`, `rbacAuthorization_v1`: a class of generated clients."""
    return f"{_word(_group(resource), False)}_{_word(resource.version, False)}"


def _identifier(prefix: str, resource: Resource, words: str) -> str:
    return f"{prefix}{_word(_group(resource), True)}{_word(resource.version, True)}{words}"


def _group(resource: Resource) -> str:
    return (resource.group or "core").removesuffix(".k8s.io")


def _word(text: str, capital: bool) -> str:
    """Letters and digits alone; what follows anything else is a capital."""
    found = []
    for position, letter in enumerate(text):
        if letter.isalpha() or letter == "_" or (position and letter.isdigit()):
            found.append(letter.upper() if capital else letter)
            capital = False
        else:
            capital = True
    return "".join(found)


def _article(kind: str) -> str:
    if kind.endswith("s") and not kind.endswith("ss"):
        return ""
    return "an " if kind[0] in "AEIOU" else "a "
