"""Which users and passwords a pod's pull secrets have for an image.

A secret names registries, parts of them, or patterns of their hosts; more than one may fit, and then each is tried.

Invariant: pure; what is more precise comes first.
Source: Kubernetes "Pull an Image from a Private Registry", "Images" (config.json); credentialprovider's keyring.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from urllib.parse import SplitResult, urlsplit

import orjson

from agents.kubelet.runtime.interface import Credentials
from api.objects import Object, name_of

_HUB = "index.docker.io"
_KEYS = {"kubernetes.io/dockerconfigjson": ".dockerconfigjson", "kubernetes.io/dockercfg": ".dockercfg"}


def credentials_for(repository: str, secrets: Iterable[Object]) -> list[Credentials]:
    """What fits an image's repository (docker.io/library/x). Raises ValueError for a secret that cannot be read."""
    known: dict[str, list[Credentials]] = {}
    for secret in secrets:
        for place, found in _entries(secret):
            known.setdefault(place, []).append(found)
    wanted = urlsplit(f"//{repository}")
    fitting = [place for place in sorted(known, reverse=True) if _fits(urlsplit(f"//{place}"), wanted)]
    if not fitting and wanted.netloc == "docker.io":
        fitting = [_HUB] if _HUB in known else []
    return [found for place in fitting for found in known[place]]


def _entries(secret: Object) -> Iterator[tuple[str, Credentials]]:
    """(place, credentials) of a secret; none of one of another type."""
    key = _KEYS.get(secret.get("type") or "")
    text = (secret.get("data") or {}).get(key) if key else None
    if text is None:
        return
    try:
        config = orjson.loads(base64.b64decode(text))
        entries = (config.get("auths") or {}) if key == ".dockerconfigjson" else config
        for place, entry in entries.items():
            found = _credentials(entry)
            if found.username:
                yield _place(place), found
    except (binascii.Error, orjson.JSONDecodeError, UnicodeDecodeError, AttributeError) as error:
        raise ValueError(f"the pull secret {name_of(secret)} cannot be read: {error}") from error


def _place(text: str) -> str:
    """Host and path; /v1/ and /v2/ stand for the host as a whole."""
    parts = urlsplit(text if text.startswith(("https://", "http://")) else f"https://{text}")
    path = parts.path[3:] if parts.path.startswith(("/v1/", "/v2/")) else parts.path
    return parts.netloc + (path if path != "/" else "")


def _credentials(entry: Object) -> Credentials:
    if not entry.get("auth"):
        return Credentials(entry.get("username") or "", entry.get("password") or "")
    text = entry["auth"]
    user, colon, password = base64.b64decode(text + "=" * (-len(text) % 4)).decode().partition(":")
    if not colon:
        raise binascii.Error("auth must be the base64 of USER:PASSWORD")
    return Credentials(user, password.strip("\x00"))


def _fits(place: SplitResult, wanted: SplitResult) -> bool:
    """Whether each part of the host matches, the port is the same, and the path begins alike."""
    host, _, port = place.netloc.partition(":")
    wanted_host, _, wanted_port = wanted.netloc.partition(":")
    labels, wanted_labels = host.split("."), wanted_host.split(".")
    return (
        port == wanted_port
        and len(labels) == len(wanted_labels)
        and wanted.path.startswith(place.path)
        and all(fnmatchcase(label, pattern) for pattern, label in zip(labels, wanted_labels, strict=True))
    )
