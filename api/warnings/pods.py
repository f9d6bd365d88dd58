"""What is warned of in pods and in templates of pods.

Source: pkg/api/pod/warnings.go of the original.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from heapq import merge

from api import app_armor
from api.objects import Object
from api.seccomp import SECCOMP_OF_CONTAINER, SECCOMP_OF_POD
from api.validation.fields import each
from api.warnings.labels import of_term, replacement
from api.warnings.storage import fractional, of_claim_spec, of_sources

_NO_SECCOMP = 'non-functional in v1.27+; use the "seccompProfile" field instead'
_NO_SYSCTLS = 'non-functional in v1.11+; use the "sysctls" field instead'
_ANNOTATIONS = {
    "scheduler.alpha.kubernetes.io/critical-pod": (
        'non-functional in v1.16+; use the "priorityClassName" field instead'
    ),
    "security.alpha.kubernetes.io/sysctls": _NO_SYSCTLS,
    "security.alpha.kubernetes.io/unsafe-sysctls": _NO_SYSCTLS,
}
_BYTES = ("memory", "ephemeral-storage")
_LISTS = ("initContainers", "containers", "ephemeralContainers")
_REQUIRED, _PREFERRED = (f"{word}DuringSchedulingIgnoredDuringExecution" for word in ("required", "preferred"))


def of_pod(pod: Object) -> Iterator[str]:
    """A pod; what its annotations say of AppArmor is told where they become fields."""
    yield from _of("", pod, is_template=False)


def of_template(path: str, template: Object) -> Iterator[str]:
    """A PodTemplateSpec at a path."""
    yield from _of(f"{path}.", template, is_template=True)


def of_labels(path: str, selector: Mapping[str, str]) -> Iterator[str]:
    """A plain node selector."""
    for key in selector:
        if said := replacement(key):
            yield f"{path}[{key}]: {said}"


def _of(start: str, holder: Object, *, is_template: bool) -> Iterator[str]:
    spec, path = holder.get("spec") or {}, f"{start}spec"
    annotations = (holder.get("metadata") or {}).get("annotations") or {}
    yield from _placement(path, spec)
    for key, said in _ANNOTATIONS.items():
        if key in annotations:
            yield f"{start}metadata.annotations[{key}]: {said}"
    for place, volume in each(spec, "volumes", path):
        yield from of_sources(place, volume, "storageOS")
        template = (volume.get("ephemeral") or {}).get("volumeClaimTemplate") or {}
        yield from of_claim_spec(f"{place}.ephemeral.volumeClaimTemplate.spec", template.get("spec") or {})
    yield from _repeated(path, spec, "hostAliases", "ip")
    yield from _repeated(path, spec, "imagePullSecrets", "name")
    for place, secret in each(spec, "imagePullSecrets", path):
        if not secret.get("name"):
            yield f'{place}.name: invalid empty name ""'
    yield from fractional(f"{path}.overhead", spec.get("overhead") or {}, _BYTES)
    yield from _profiles(start, spec, annotations, is_template)
    yield from _ports(path, spec)
    for kind in ("podAffinity", "podAntiAffinity"):
        affinity, place = (spec.get("affinity") or {}).get(kind) or {}, f"{path}.affinity.{kind}"
        for inner, term in each(affinity, _REQUIRED, place):
            yield from _selector(inner, term)
        for inner, weighted in each(affinity, _PREFERRED, place):
            yield from _selector(f"{inner}.podAffinityTerm", weighted.get("podAffinityTerm") or {})


def _selector(path: str, holder: Object) -> Iterator[str]:
    if holder.get("labelSelector") is None:
        yield f"{path}.labelSelector: a null labelSelector results in matching no pod"


def _placement(path: str, spec: Object) -> Iterator[str]:
    yield from of_labels(f"{path}.nodeSelector", spec.get("nodeSelector") or {})
    affinity, place = (spec.get("affinity") or {}).get("nodeAffinity") or {}, f"{path}.affinity.nodeAffinity"
    for inner, term in each(affinity.get(_REQUIRED) or {}, "nodeSelectorTerms", f"{place}.{_REQUIRED}"):
        yield from of_term(inner, term)
    for inner, weighted in each(affinity, _PREFERRED, place):
        yield from of_term(f"{inner}.preference", weighted.get("preference") or {})
    for inner, constraint in each(spec, "topologySpreadConstraints", path):
        if said := replacement(constraint.get("topologyKey")):
            yield f"{inner}.topologyKey: {constraint['topologyKey']} is {said}"
        yield from _selector(inner, constraint)


def _repeated(path: str, spec: Object, field: str, key: str) -> Iterator[str]:
    seen = set()
    for place, item in each(spec, field, path):
        value = item.get(key) or ""
        if value in seen:
            yield f'{place}.{key}: duplicate {key} "{value}"'
        seen.add(value)


def _containers(path: str, spec: Object) -> Iterator[tuple[str, Object]]:
    for field in _LISTS:
        yield from each(spec, field, path)


def _profiles(start: str, spec: Object, annotations: Mapping[str, str], is_template: bool) -> Iterator[str]:
    """Profiles that only annotations name, and what else is odd in single containers."""
    whole = spec.get("securityContext") or {}
    if SECCOMP_OF_POD in annotations and whole.get("seccompProfile") is None:
        yield f"{start}metadata.annotations[{SECCOMP_OF_POD}]: {_NO_SECCOMP}"
    for path, container in _containers(f"{start}spec", spec):
        context = container.get("securityContext") or {}
        key = f"{SECCOMP_OF_CONTAINER}{container.get('name')}"
        if key in annotations and context.get("seccompProfile") is None:
            yield f"{start}metadata.annotations[{key}]: {_NO_SECCOMP}"
        key = f"{app_armor.ANNOTATION}{container.get('name')}"
        confined = any(one.get("appArmorProfile") is not None for one in (whole, context))
        if is_template and key in annotations and not confined:
            use = 'deprecated since v1.30; use the "appArmorProfile" field instead'
            yield f"{start}metadata.annotations[{key}]: {use}"
        resources = container.get("resources") or {}
        stated = [field for field in ("limits", "requests") if resources.get(field)]
        for name in _BYTES if stated else ():
            for field in stated:
                yield from fractional(f"{path}.resources.{field}", resources[field], (name,))
        yield from _variables(path, container)


def _variables(path: str, container: Object) -> Iterator[str]:
    seen = set()
    for place, variable in each(container, "env", path):
        name, value = variable.get("name") or "", variable.get("value") or ""
        reference = f"$({name})"
        hides = variable.get("valueFrom") is not None or value == reference or reference not in value
        if name in seen and hides:
            yield f'{place}: hides previous definition of "{name}", which may be dropped when using apply'
        seen.add(name)


def _ports(path: str, spec: Object) -> Iterator[str]:
    """Ports that mean the same, each told for every earlier one; only those that collide are compared."""
    known: dict[tuple[object, object], _Places] = {}
    for place, container in _containers(path, spec):
        for inner, port in each(container, "ports", place):
            places = known.setdefault((port.get("containerPort"), port.get("protocol")), _Places())
            ip, number = port.get("hostIP") or "", port.get("hostPort") or 0
            for said, other in places.collisions(ip, number):
                yield f"{inner}: {said} port definition with {other}"
            places.add(ip, number, inner)


class _Places:
    """Where one port of containers was met before, by the address of the node that it shall have."""

    def __init__(self) -> None:
        self._all: list[tuple[tuple[str, int], str]] = []
        self._by_address: dict[tuple[str, int], list[int]] = {}
        self._with_ip: dict[int, list[int]] = {}

    def add(self, ip: str, number: int, place: str) -> None:
        """One more place."""
        self._by_address.setdefault((ip, number), []).append(len(self._all))
        if ip:
            self._with_ip.setdefault(number, []).append(len(self._all))
        self._all.append(((ip, number), place))

    def collisions(self, ip: str, number: int) -> Iterator[tuple[str, str]]:
        """Which of the places a port collides with, and how, in their order."""
        for index in self._colliding(ip, number) if number else range(len(self._all)):
            address, place = self._all[index]
            if address == (ip, number):
                yield "duplicate", place
            else:
                yield "dangerously ambiguous" if number and address[1] else "overlapping", place

    def _colliding(self, ip: str, number: int) -> Iterator[int]:
        without_number = self._by_address.get(("", 0), []), self._with_ip.get(0, [])
        other = self._by_address.get(("", number), []) if ip else self._with_ip.get(number, [])
        return merge(*without_number, self._by_address.get((ip, number), []), other)
