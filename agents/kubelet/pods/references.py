"""What a pod may ask about itself and its resources: field references and resource references.

Source: kubelet's fieldpath.ExtractFieldPathAsString and resource.ExtractContainerResourceValue.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from agents.kubelet.pods import spec
from api.objects import Object, annotations_of, labels_of, name_of, namespace_of, uid_of
from api.quantities import parse

_SUBSCRIPT = re.compile(r"^metadata\.(labels|annotations)\['(.+)'\]$")


class BadReference(ValueError):
    """A reference to something that cannot be referred to."""


def field_value(pod: Object, path: str, addresses: Sequence[str], host_addresses: Sequence[str]) -> str:
    """The text of a field of the pod. Raises BadReference."""
    match = _SUBSCRIPT.match(path)
    if match:
        source = labels_of(pod) if match[1] == "labels" else annotations_of(pod)
        return source.get(match[2], "")
    values = {
        "metadata.name": name_of(pod),
        "metadata.namespace": namespace_of(pod),
        "metadata.uid": uid_of(pod),
        "metadata.labels": _pairs(labels_of(pod)),
        "metadata.annotations": _pairs(annotations_of(pod)),
        "spec.nodeName": pod["spec"].get("nodeName", ""),
        "spec.serviceAccountName": pod["spec"].get("serviceAccountName", ""),
        "status.hostIP": next(iter(host_addresses), ""),
        "status.hostIPs": ",".join(host_addresses),
        "status.podIP": next(iter(addresses), ""),
        "status.podIPs": ",".join(addresses),
    }
    if path not in values:
        raise BadReference(f"unsupported fieldPath: {path}")
    return str(values[path])


def _pairs(values: Mapping[str, str]) -> str:
    """`key="value"` lines, sorted, values quoted as Go does."""
    return "\n".join(f'{key}="{"".join(_quoted(letter) for letter in values[key])}"' for key in sorted(values))


_NAMED = {
    "\\": "\\\\",
    '"': '\\"',
    "\a": "\\a",
    "\b": "\\b",
    "\f": "\\f",
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
    "\v": "\\v",
}


def _quoted(letter: str) -> str:
    """A letter as strconv.Quote writes it."""
    if letter in _NAMED:
        return _NAMED[letter]
    if letter.isprintable():
        return letter
    code = ord(letter)
    return f"\\x{code:02x}" if code < 0x80 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def resource_value(pod: Object, container: Object, reference: Object, allocatable: Mapping[str, str]) -> str:
    """A request or limit in units of the divisor, rounded up. A missing limit is the pod's, else what the node gives.

    Raises BadReference.
    """
    named = reference.get("containerName")
    if named:
        found = spec.find_container(pod, named)
        if found is None:
            raise BadReference(f"container {named} not found")
        container = found
    kind, _, resource = str(reference.get("resource", "")).partition(".")
    if kind not in ("limits", "requests") or not resource:
        raise BadReference(f"unsupported container resource : {reference.get('resource')}")
    resources = container.get("resources") or {}
    amount = (resources.get(kind) or {}).get(resource)
    if amount is None and kind == "requests":
        amount = (resources.get("limits") or {}).get(resource)
    if amount is None:
        of_pod = (pod["spec"].get("resources") or {}).get("limits") or {}
        amount = of_pod.get(resource) or allocatable.get(resource, "0") if kind == "limits" else "0"
    divisor = parse(reference.get("divisor") or "1").nano or 10**9
    return str(-(-parse(amount).nano // divisor))
