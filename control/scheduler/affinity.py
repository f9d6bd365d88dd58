"""Pod affinity terms, read once from a pod.

Invariant: a term is a value; what it selects depends on labels of pods and namespaces only.
Source: core/v1 PodAffinityTerm (namespaces, namespaceSelector, matchLabelKeys, mismatchLabelKeys).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from api.selectors import LabelSelector, Requirement

_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"


@dataclass(frozen=True, slots=True)
class Term:
    """Pods in certain namespaces with certain labels, within one domain of `topology_key`."""

    topology_key: str
    selector: LabelSelector
    namespaces: frozenset[str]
    namespace_selector: LabelSelector | None
    weight: int = 0

    def selects(self, namespace: str, labels: Mapping[str, str], namespaces: Mapping[str, Mapping[str, str]]) -> bool:
        """Whether a pod is meant; `namespaces` gives the labels of each namespace."""
        within = namespace in self.namespaces or (
            self.namespace_selector is not None and self.namespace_selector.matches(namespaces.get(namespace))
        )
        return within and self.selector.matches(labels)


@dataclass(frozen=True, slots=True)
class Affinity:
    """All terms of a pod; weights of preferred anti-affinity are negative."""

    required: tuple[Term, ...] = ()
    required_anti: tuple[Term, ...] = ()
    preferred: tuple[Term, ...] = ()


NONE = Affinity()


def parse(spec: Mapping[str, Any], namespace: str, labels: Mapping[str, str]) -> Affinity:
    """The pod's affinity and anti-affinity towards other pods."""
    affinity = spec.get("affinity") or {}
    towards, against = affinity.get("podAffinity") or {}, affinity.get("podAntiAffinity") or {}
    if not towards and not against:
        return NONE
    preferred = [*_weighted(towards, namespace, labels, 1), *_weighted(against, namespace, labels, -1)]
    return Affinity(
        tuple(_term(one, namespace, labels) for one in towards.get(_REQUIRED) or []),
        tuple(_term(one, namespace, labels) for one in against.get(_REQUIRED) or []),
        tuple(preferred),
    )


def _weighted(part: Mapping[str, Any], namespace: str, labels: Mapping[str, str], sign: int) -> Iterable[Term]:
    for one in part.get(_PREFERRED) or []:
        yield _term(one["podAffinityTerm"], namespace, labels, sign * int(one["weight"]))


def _term(term: Mapping[str, Any], namespace: str, labels: Mapping[str, str], weight: int = 0) -> Term:
    selector = LabelSelector.from_json(term.get("labelSelector"))
    extra = [Requirement(key, "=", (labels[key],)) for key in term.get("matchLabelKeys") or [] if key in labels]
    extra += [Requirement(key, "!=", (labels[key],)) for key in term.get("mismatchLabelKeys") or [] if key in labels]
    if extra and not selector.nothing:
        selector = LabelSelector((*selector.requirements, *extra))
    named = frozenset(term.get("namespaces") or [])
    by_label = term.get("namespaceSelector")
    if not named and by_label is None:
        named = frozenset({namespace})
    among = LabelSelector.from_json(by_label) if by_label is not None else None
    return Term(term["topologyKey"], selector, named, among, weight)
