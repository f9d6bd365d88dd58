"""The files that config maps, secrets, the downward API, tokens, certificates and trust bundles amount to.

Invariant: pure but for `Sources`, `Tokens` and `Certificates`, which are asked for what a volume names.
Source: kubelet's volume/{configmap,secret,downwardapi,projected} collectData.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from agents.kubelet.pods import spec
from agents.kubelet.pods.environment import Sources, Surroundings
from agents.kubelet.pods.references import BadReference, field_value, resource_value
from agents.kubelet.volumes import trust
from api.objects import Object, namespace_of

DEFAULT_MODE = 0o644
Payload = dict[str, "File"]


class VolumeError(Exception):
    """A volume cannot be set up; the sentence says why."""


@dataclass(frozen=True, slots=True)
class File:
    """One projected file; `user` owns it, None leaves it to root."""

    content: bytes
    mode: int
    user: int | None = None


class Tokens(Protocol):
    """Service account tokens for pods."""

    def token(self, pod: Object, audience: str, seconds: int) -> str:
        """A valid token bound to the pod. Raises ApiError or TransportError."""

    def forget(self, uid: str) -> None:
        """Drop the tokens of a pod that is gone."""


class Certificates(Protocol):
    """Keys and certificates for pods."""

    def credentials(self, pod: Object, volume: str, index: int, source: Object) -> tuple[bytes, bytes]:
        """A key and the certificates for it, PEM. Raises VolumeError, ApiError or TransportError."""

    def forget(self, uid: str) -> None:
        """Drop those of a pod that is gone."""


@dataclass(frozen=True, slots=True)
class Collector:
    """Collects the files of one pod's volumes."""

    sources: Sources
    tokens: Tokens
    around: Surroundings
    certificates: Certificates | None = None

    def collect(self, pod: Object, volume: Object) -> Payload | None:
        """The files of a projected kind of volume; None if the volume is of another kind. Raises VolumeError."""
        for kind in ("configMap", "secret", "downwardAPI"):
            if volume.get(kind) is not None:
                source = dict(volume[kind])
                if kind == "secret":
                    source["name"] = source.get("secretName", "")
                return self._source(pod, kind, source, _mode(source, DEFAULT_MODE))
        projected = volume.get("projected")
        if projected is None:
            return None
        files: Payload = {}
        mode = _mode(projected, DEFAULT_MODE)
        for index, entry in enumerate(projected.get("sources") or []):
            for kind, source in entry.items():
                if kind == "podCertificate" and self.certificates is not None:
                    found = self.certificates.credentials(pod, volume["name"], index, source)
                    files |= _credentials(pod, source, found, mode)
                else:
                    files |= self._source(pod, kind, source, mode)
        return files

    def _source(self, pod: Object, kind: str, source: Object, mode: int) -> Payload:
        if kind == "configMap":
            return self._keys(pod, "configmaps", "config", source, mode)
        if kind == "secret":
            return self._keys(pod, "secrets", "secret", source, mode)
        if kind == "downwardAPI":
            return self._downward(pod, source, mode)
        if kind == "serviceAccountToken":
            seconds = int(source.get("expirationSeconds") or 3600)
            token = self.tokens.token(pod, source.get("audience") or "", seconds)
            return {source["path"]: _private(pod, token.encode(), mode)}
        if kind == "clusterTrustBundle":
            return {source["path"]: _private(pod, self._trust(source), mode)}
        raise VolumeError(f"projected volumes from {kind} are not supported")

    def _trust(self, source: Object) -> bytes:
        bundles = trust.chosen(self.sources.list("clustertrustbundles.certificates.k8s.io"), source)
        if not bundles and not source.get("optional"):
            raise VolumeError(trust.described(source))
        try:
            return trust.anchors(bundles)
        except ValueError as error:
            raise VolumeError(str(error)) from error

    def _keys(self, pod: Object, plural: str, word: str, source: Object, mode: int) -> Payload:
        name, optional = source.get("name", ""), bool(source.get("optional"))
        found = self.sources.get(plural, namespace_of(pod), name)
        if found is None:
            if optional:
                return {}
            raise VolumeError(f'{plural[:-1]} "{name}" not found')
        contents = _contents(found)
        if not source.get("items"):
            return {key: File(content, mode) for key, content in contents.items()}
        files: Payload = {}
        for item in source["items"]:
            if item["key"] in contents:
                files[item["path"]] = File(contents[item["key"]], _mode(item, mode, "mode"))
            elif not optional:
                raise VolumeError(f"references non-existent {word} key: {item['key']}")
        return files

    def _downward(self, pod: Object, source: Object, mode: int) -> Payload:
        files: Payload = {}
        for item in source.get("items") or []:
            try:
                if item.get("fieldRef"):
                    path = item["fieldRef"]["fieldPath"]
                    text = field_value(pod, path, self.around.addresses, self.around.host_addresses)
                else:
                    reference = item["resourceFieldRef"]
                    container = spec.find_container(pod, reference.get("containerName", "")) or {}
                    text = resource_value(pod, container, reference, self.around.allocatable)
            except BadReference as error:
                raise VolumeError(str(error)) from error
            files[item["path"]] = File(text.encode(), _mode(item, mode, "mode"))
        return files


def _credentials(pod: Object, source: Object, found: tuple[bytes, bytes], mode: int) -> Payload:
    """A key and its certificates, in one file or in one each."""
    key, chain = found
    contents = {"credentialBundlePath": key + chain, "keyPath": key, "certificateChainPath": chain}
    return {source[field]: _private(pod, text, mode) for field, text in contents.items() if source.get(field)}


def _contents(found: Object) -> dict[str, bytes]:
    data: Mapping[str, str] = found.get("data") or {}
    binary: Mapping[str, str] = found.get("binaryData") or {}
    if found.get("kind") == "Secret":
        return {key: base64.b64decode(value) for key, value in data.items()}
    texts = {key: str(value).encode() for key, value in data.items()}
    return texts | {key: base64.b64decode(value) for key, value in binary.items()}


def _private(pod: Object, content: bytes, mode: int) -> File:
    """A file that only those read whom it is for, where that can be told."""
    user = _common_user(pod)
    grouped = (pod["spec"].get("securityContext") or {}).get("fsGroup") is not None
    return File(content, 0o600 if grouped or user is not None else mode, user)


def _common_user(pod: Object) -> int | None:
    """The user that all containers of the pod run as by their specs. Source: volume/util FsUserFrom."""
    default = (pod["spec"].get("securityContext") or {}).get("runAsUser")
    users = {
        (container.get("securityContext") or {}).get("runAsUser", default) for container in spec.all_containers(pod)
    }
    only = users.pop() if len(users) == 1 else None
    return None if only is None else int(only)


def _mode(source: Object, default: int, field: str = "defaultMode") -> int:
    value = source.get(field)
    return default if value is None else int(value)
