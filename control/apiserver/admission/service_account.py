"""ServiceAccount: every pod runs as an account of its namespace and finds that account's token in its file system.

Invariant: an admitted pod names an account that exists.
Source: plugin/pkg/admission/serviceaccount.
"""

from __future__ import annotations

from api import names
from api.objects import Object, annotations_of
from control.apiserver.admission.common import MIRROR, creates_pod, forbidden
from control.apiserver.admission.pipeline import PluginBase
from control.apiserver.operation import Operation

MOUNT_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"
TOKEN_SECONDS = 3607

_DEFAULT = "default"
_VOLUME_PREFIX = "kube-api-access-"
_ATTEMPTS = 10
_PAUSE_SECONDS = 0.1


class ServiceAccount(PluginBase):
    """Completes pods with their account and its token volume."""

    def handles(self, operation: Operation) -> bool:
        return creates_pod(operation)

    def mutate(self, operation: Operation, new: Object, old: Object | None) -> Object:
        if MIRROR in annotations_of(new):
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
        if MIRROR in annotations_of(new) and new["spec"].get("serviceAccountName"):
            raise forbidden(operation, "a mirror pod may not reference service accounts")

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
