"""ServiceAccount: every pod runs as an account of its namespace and finds that account's token in its file system.

An account may bind its pods to the secrets that it names itself, by an annotation.

Invariant: an admitted pod names an account that exists, but for a node's own pods (mirror pods), which name none.
Source: plugin/pkg/admission/serviceaccount.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet

from api import names
from api.objects import Object, annotations_of
from control.apiserver.admission.common import creates_pod, forbidden
from control.apiserver.admission.pipeline import PluginBase
from control.apiserver.authorization.references import MIRROR, references
from control.apiserver.operation import UPDATE, Operation

MOUNT_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"
TOKEN_SECONDS = 3607

_DEFAULT = "default"
_VOLUME_PREFIX = "kube-api-access-"
_ENFORCE = "kubernetes.io/enforce-mountable-secrets"
_TRUE = frozenset({"1", "t", "T", "true", "True", "TRUE"})
_ATTEMPTS = 10
_PAUSE_SECONDS = 0.1


class ServiceAccount(PluginBase):
    """Completes pods with their account and its token volume."""

    def handles(self, operation: Operation) -> bool:
        return creates_pod(operation) or _adds_ephemeral(operation)

    def mutate(self, operation: Operation, new: Object, old: Object | None) -> Object:
        if _adds_ephemeral(operation):
            return new
        if MIRROR in annotations_of(new):
            _check_mirror(operation, new)
            return new
        spec = new["spec"]
        name = spec.get("serviceAccountName") or _DEFAULT
        spec["serviceAccountName"] = spec["serviceAccount"] = name
        account = self._account(operation, name)
        if _wants_token(spec, account) and not _has_mounts(spec):
            self._mount_token(operation, spec)
        if not spec.get("imagePullSecrets") and account.get("imagePullSecrets"):
            spec["imagePullSecrets"] = account["imagePullSecrets"]
        return new

    def validate(self, operation: Operation, new: Object, old: Object | None) -> None:
        if MIRROR in annotations_of(new):
            if not _adds_ephemeral(operation):
                _check_mirror(operation, new)
            return
        account = self._account(operation, new["spec"].get("serviceAccountName") or _DEFAULT)
        if annotations_of(account).get(_ENFORCE, "") in _TRUE:
            why = next(_forbidden_secrets(new["spec"], account, ephemeral=_adds_ephemeral(operation)), "")
            if why:
                what = "imagePullSecret" if why.startswith("imagePullSecrets") else "secret"
                name = account["metadata"]["name"]
                because = f"is not allowed because service account {name} does not reference that {what}"
                raise forbidden(operation, f"{why} {because}")

    def _account(self, operation: Operation, name: str) -> Object:
        """The account; one that a controller is about to make in a new namespace is waited for. Raises Forbidden."""
        server, namespace = operation.server, operation.namespace
        accounts = server.cache.collection("", "serviceaccounts")
        for attempt in range(_ATTEMPTS):
            found = accounts.objects.get(f"{namespace}/{name}")
            if found is not None:
                return found.object()
            if attempt == 0:
                server.cache.catch_up()
            elif name == _DEFAULT:
                server.runtime.sleep(_PAUSE_SECONDS)
        raise forbidden(
            operation, f'error looking up service account {namespace}/{name}: serviceaccount "{name}" not found'
        )

    def _mount_token(self, operation: Operation, spec: Object) -> None:
        present = [one["name"] for one in spec.get("volumes") or () if one["name"].startswith(_VOLUME_PREFIX)]
        volume = present[0] if present else names.generate(_VOLUME_PREFIX, operation.server.runtime.random())
        mount = {"name": volume, "readOnly": True, "mountPath": MOUNT_PATH}
        for container in _containers(spec):
            mounts = container.setdefault("volumeMounts", [])
            if not any(one.get("mountPath") == MOUNT_PATH for one in mounts):
                mounts.append(dict(mount))
        if not present:
            spec.setdefault("volumes", []).append({"name": volume, "projected": token_projection()})


def token_projection() -> Object:
    """Token, authority and namespace, as every pod finds them."""
    field = {"apiVersion": "v1", "fieldPath": "metadata.namespace"}
    return {
        "defaultMode": 0o644,
        "sources": [
            {"serviceAccountToken": {"expirationSeconds": TOKEN_SECONDS, "path": "token"}},
            {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
            {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": field}]}},
        ],
    }


def _adds_ephemeral(operation: Operation) -> bool:
    resource = operation.resource
    is_pod = (resource.group, resource.plural) == ("", "pods")
    return is_pod and operation.verb == UPDATE and operation.subresource == "ephemeralcontainers"


def _check_mirror(operation: Operation, pod: Object) -> None:
    """Raises Forbidden for a node's own pod that would have the cluster give it something."""
    referred = {plural for plural, _, _ in references(pod)}
    if "serviceaccounts" in referred:
        raise forbidden(operation, "a mirror pod may not reference service accounts")
    if "secrets" in referred:
        raise forbidden(operation, "a mirror pod may not reference secrets")
    volumes = pod["spec"].get("volumes") or ()
    sources = [source for volume in volumes for source in (volume.get("projected") or {}).get("sources") or ()]
    if any(source.get("serviceAccountToken") is not None for source in sources):
        raise forbidden(operation, "a mirror pod may not use ServiceAccountToken volume projections")


def _forbidden_secrets(spec: Object, account: Object, *, ephemeral: bool) -> Iterator[str]:
    """How a pod refers to secrets that its account does not name; of ephemeral containers only, or of all others."""
    own = {one.get("name") for one in account.get("secrets") or ()}
    if ephemeral:
        yield from _of_containers(spec.get("ephemeralContainers") or (), "ephemeral container", own)
        return
    for volume in spec.get("volumes") or ():
        name = (volume.get("secret") or {}).get("secretName")
        if name is not None and name not in own:
            yield f'volume with secret.secretName="{name}"'
    yield from _of_containers(spec.get("initContainers") or (), "init container", own)
    yield from _of_containers(spec.get("containers") or (), "container", own)
    pulls = {one.get("name") for one in account.get("imagePullSecrets") or ()}
    for index, secret in enumerate(spec.get("imagePullSecrets") or ()):
        if secret.get("name") not in pulls:
            yield f'imagePullSecrets[{index}].name="{secret.get("name")}"'


def _of_containers(containers: Iterable[Object], kind: str, own: AbstractSet[str | None]) -> Iterator[str]:
    for container in containers:
        for variable in container.get("env") or ():
            name = ((variable.get("valueFrom") or {}).get("secretKeyRef") or {}).get("name")
            if name is not None and name not in own:
                what = f"with envVar {variable['name']} referencing"
                yield f'{kind} {container["name"]} {what} secret.secretName="{name}"'
        for source in container.get("envFrom") or ():
            name = (source.get("secretRef") or {}).get("name")
            if name is not None and name not in own:
                yield f'{kind} {container["name"]} with envFrom referencing secret.secretName="{name}"'


def _containers(spec: Object) -> list[Object]:
    return [*(spec.get("initContainers") or []), *(spec.get("containers") or [])]


def _has_mounts(spec: Object) -> bool:
    """Whether every container has something of its own where the token would be."""
    return all(
        any(mount.get("mountPath") == MOUNT_PATH for mount in container.get("volumeMounts") or ())
        for container in _containers(spec)
    )


def _wants_token(spec: Object, account: Object) -> bool:
    for holder in (spec, account):
        wanted = holder.get("automountServiceAccountToken")
        if wanted is not None:
            return bool(wanted)
    return True
