"""Tokens in Secrets: a Secret of type kubernetes.io/service-account-token gets a token of the account that it names.

The token is asked of the API server and bound to the Secret: it is good for as long as that is there, and the key that
signs stays where it is.

Invariant: no such Secret outlives its account.
Source: kubernetes pkg/controller/serviceaccount (tokens_controller.go).
"""

from __future__ import annotations

import base64
from collections.abc import Iterable
from typing import ClassVar

from api.errors import NotFound
from api.loop import Loop
from api.objects import Object, annotations_of, copy, is_deleting, key_of, name_of, namespace_of, uid_of
from control.controllers.context import Context

TYPE = "kubernetes.io/service-account-token"
ACCOUNT, ACCOUNT_UID = "kubernetes.io/service-account.name", "kubernetes.io/service-account.uid"
_BY_ACCOUNT = "account"
# As long as the API server takes: what ends such a token is the end of its Secret.
_SECONDS = 1 << 32


def account_key(secret: Object) -> str:
    """The key of the account whose token the Secret is to hold; "" if it is of another type or names none."""
    name = annotations_of(secret).get(ACCOUNT, "") if secret.get("type") == TYPE else ""
    return f"{namespace_of(secret)}/{name}" if name else ""


def belongs(secret: Object, account: Object | None) -> bool:
    """Whether the account is the one that the Secret names, and not a later one of that name."""
    return account is not None and annotations_of(secret).get(ACCOUNT_UID, "") in ("", uid_of(account))


def completed(secret: Object, account: Object, authority: bytes) -> Object:
    """The Secret with all that it is to hold but the token itself."""
    changed = copy(secret)
    data = dict(secret.get("data") or {})
    if authority:
        data["ca.crt"] = _encoded(authority)
    if not data.get("namespace"):
        data["namespace"] = _encoded(namespace_of(secret).encode())
    changed["data"] = data
    changed["metadata"]["annotations"] = annotations_of(secret) | {ACCOUNT_UID: uid_of(account)}
    return changed


def _encoded(content: bytes) -> str:
    return base64.b64encode(content).decode()


class AccountTokenController(Loop):
    """The shell."""

    name: ClassVar[str] = "serviceaccount-token-controller"
    workers = 2

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._authority = context.options.authority_certificate
        self._secrets = self.watch("secrets", lambda secret: (key_of(secret),) if account_key(secret) else ())
        self._secrets.add_index(_BY_ACCOUNT, lambda secret: (account_key(secret),))
        self._accounts = self.watch("serviceaccounts", self._secrets_of)

    def reconcile(self, key: str) -> float | None:
        """Fill the Secret, or remove it with its account."""
        secret = self._secrets.get(key)
        if secret is None or is_deleting(secret) or not account_key(secret):
            return None
        account = self._account_of(secret)
        if account is None:
            self._remove(secret)
            return None
        wanted = completed(secret, account, self._authority)
        if not wanted["data"].get("token"):
            wanted["data"]["token"] = _encoded(self._token(account, secret).encode())
        if wanted != secret:
            self.client.update("secrets", wanted)
        return None

    def _account_of(self, secret: Object) -> Object | None:
        """The Secret's account; absent only if the server says so."""
        account = self._accounts.get(account_key(secret))
        if not belongs(secret, account):
            try:
                account = self.client.get("serviceaccounts", annotations_of(secret)[ACCOUNT], namespace_of(secret))
            except NotFound:
                return None
        return account if belongs(secret, account) else None

    def _token(self, account: Object, secret: Object) -> str:
        reference = {"kind": "Secret", "apiVersion": "v1", "name": name_of(secret), "uid": uid_of(secret)}
        request = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "metadata": {"name": name_of(account), "namespace": namespace_of(account)},
            "spec": {"audiences": [], "expirationSeconds": _SECONDS, "boundObjectRef": reference},
        }
        return str(self.client.create("serviceaccounts", request, subresource="token")["status"]["token"])

    def _remove(self, secret: Object) -> None:
        try:
            self.client.delete("secrets", name_of(secret), namespace_of(secret), uid=uid_of(secret))
        except NotFound:
            return

    def _secrets_of(self, account: Object) -> Iterable[str]:
        return [key_of(secret) for secret in self._secrets.by_index(_BY_ACCOUNT, key_of(account))]
