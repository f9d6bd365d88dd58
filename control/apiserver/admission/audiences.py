"""For whom a node may ask for a token of a pod's account: for those that the pod itself names.

Invariant: a node that was taken over gets no token for a service that none of its pods speaks to, unless the verb
`request-serviceaccounts-token-audience` has been granted to it.
Source: plugin/pkg/admission/noderestriction, validateNodeServiceAccountAudience (KEP-4412).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from api.objects import Object
from control.apiserver.admission.common import forbidden
from control.apiserver.authorization.attributes import Attributes
from control.apiserver.operation import Operation

_VERB = "request-serviceaccounts-token-audience"


def check_audience(operation: Operation, pod: Object, audiences: Sequence[str]) -> None:
    """Raises Forbidden for several audiences, and for one that is none of the pod's; "" is the server itself."""
    if len(audiences) > 1:
        raise forbidden(operation, "node may only request 0 or 1 audiences")
    audience = audiences[0] if audiences else ""
    if audience in _audiences(operation, pod):
        return
    asked = Attributes(operation.user, _VERB, "", "v1", operation.namespace, audience, "", operation.name)
    if audience and operation.server.authorizer.decide(asked)[0]:
        return
    who = operation.user.name
    why = f'audience "{audience}" not found in pod spec volume, {who} is not authorized to request tokens for this'
    raise forbidden(operation, f"{why} audience")


def _audiences(operation: Operation, pod: Object) -> Iterator[str]:
    for volume in pod["spec"].get("volumes") or ():
        for source in (volume.get("projected") or {}).get("sources") or ():
            if source.get("serviceAccountToken"):
                yield source["serviceAccountToken"].get("audience") or ""
        driver = _driver(operation, volume, pod)
        found = _find(operation, "storage.k8s.io", "csidrivers", driver) if driver else {}
        for token in (found.get("spec") or {}).get("tokenRequests") or ():
            yield token.get("audience") or ""


def _driver(operation: Operation, volume: Object, pod: Object) -> str:
    """The driver of a volume, of one that the pod claims too."""
    if volume.get("csi"):
        return str(volume["csi"].get("driver") or "")
    claim_name = (volume.get("persistentVolumeClaim") or {}).get("claimName") or ""
    if volume.get("ephemeral"):
        claim_name = f"{pod['metadata']['name']}-{volume['name']}"
    if not claim_name:
        return ""
    claim = _find(operation, "", "persistentvolumeclaims", f"{operation.namespace}/{claim_name}")
    bound = _find(operation, "", "persistentvolumes", (claim.get("spec") or {}).get("volumeName") or "")
    return str(((bound.get("spec") or {}).get("csi") or {}).get("driver") or "")


def _find(operation: Operation, group: str, plural: str, key: str) -> Object:
    found = operation.server.cache.collection(group, plural).objects.get(key)
    return found.object() if found else {}
