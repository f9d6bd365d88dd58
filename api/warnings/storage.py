"""What is warned of in volumes, claims and classes.

Source: pkg/api/persistentvolume, pkg/api/persistentvolumeclaim and pkg/api/storage of the original.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from api import quantities
from api.objects import Object
from api.validation.fields import each
from api.warnings.labels import of_term, replacement

_CLASS = "volume.beta.kubernetes.io/storage-class"
_NANO = 1_000_000_000
_GONE = {
    "cephfs": "deprecated in v1.28, non-functional in v1.31+",
    "flocker": "deprecated in v1.22, non-functional in v1.25+",
    "gitRepo": "deprecated in v1.11",
    "glusterfs": "deprecated in v1.25, non-functional in v1.26+",
    "photonPersistentDisk": "deprecated in v1.11, non-functional in v1.16+",
    "quobyte": "deprecated in v1.22, non-functional in v1.25+",
    "rbd": "deprecated in v1.28, non-functional in v1.31+",
    "scaleIO": "deprecated in v1.16, non-functional in v1.22+",
}
STORAGE_OS = "deprecated in v1.22, non-functional in v1.25+"


def of_sources(path: str, holder: Object, storage_os: str) -> Iterator[str]:
    """Volume plugins that are gone or on their way; `storage_os` is what the place calls one of them."""
    for field, what in {**_GONE, "storageos": STORAGE_OS}.items():
        if holder.get(field) is not None:
            yield f"{path}.{storage_os if field == 'storageos' else field}: {what}"


def of_volume(volume: Object) -> Iterator[str]:
    """A PersistentVolume."""
    spec = volume["spec"]
    required = (spec.get("nodeAffinity") or {}).get("required") or {}
    for path, term in each(required, "nodeSelectorTerms", "spec.nodeAffinity.required"):
        yield from of_term(path, term)
    yield from _beta_class(volume)
    if spec.get("persistentVolumeReclaimPolicy") == "Recycle":
        yield (
            "spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. Instead, the recommended "
            "approach is to use dynamic provisioning."
        )
    yield from of_sources("spec", spec, "storageOS")


def of_claim(claim: Object) -> Iterator[str]:
    """A PersistentVolumeClaim."""
    yield from _beta_class(claim)
    yield from of_claim_spec("spec", claim["spec"])


def of_claim_spec(path: str, spec: Object) -> Iterator[str]:
    """What a claim asks for."""
    for field in ("requests", "limits"):
        amounts = (spec.get("resources") or {}).get(field) or {}
        yield from fractional(f"{path}.resources.{field}", amounts, ("storage",))


def of_class(storage_class: Object) -> Iterator[str]:
    """A StorageClass."""
    for path, term in each(storage_class, "allowedTopologies", ""):
        for place, expression in each(term, "matchLabelExpressions", path.removeprefix(".")):
            if said := replacement(expression.get("key")):
                yield f"{place}.key: {expression['key']} is {said}"


def fractional(path: str, amounts: Object, names: tuple[str, ...]) -> Iterator[str]:
    """Amounts of bytes that are no whole number."""
    for name in names:
        value: Any = amounts.get(name)
        if value is not None and quantities.parse(value).nano % _NANO:
            yield f'{path}[{name}]: fractional byte value "{value}" is invalid, must be an integer'


def _beta_class(obj: Object) -> Iterator[str]:
    if _CLASS in (obj["metadata"].get("annotations") or {}):
        yield f'metadata.annotations[{_CLASS}]: deprecated since v1.8; use "storageClassName" attribute instead'
