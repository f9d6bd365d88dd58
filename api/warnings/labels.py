"""Labels of nodes that have other names by now.

Source: pkg/api/node of the original.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from api.objects import Object
from api.validation.fields import each

_RENAMED = {
    "beta.kubernetes.io/arch": ("v1.14", "kubernetes.io/arch"),
    "beta.kubernetes.io/os": ("v1.14", "kubernetes.io/os"),
    "failure-domain.beta.kubernetes.io/region": ("v1.17", "topology.kubernetes.io/region"),
    "failure-domain.beta.kubernetes.io/zone": ("v1.17", "topology.kubernetes.io/zone"),
    "beta.kubernetes.io/instance-type": ("v1.17", "node.kubernetes.io/instance-type"),
}


def replacement(label: Any) -> str:
    """What to use instead of a label, "" if it is none of the old ones."""
    if label not in _RENAMED:
        return ""
    since, use = _RENAMED[label]
    return f'deprecated since {since}; use "{use}" instead'


def of_term(path: str, term: Object) -> Iterator[str]:
    """A term of a node selector."""
    for place, expression in each(term, "matchExpressions", path):
        if said := replacement(expression.get("key")):
            yield f"{place}.key: {expression['key']} is {said}"
