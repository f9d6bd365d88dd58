"""Objects of a custom resource between the version in which they are stored and the one that is asked for.

A stored object keeps the version in which it was written until it is written again, so every reading begins with
the version that the object itself names.

Invariant: what is read has been pruned and defaulted by the version that is shown.
Source: "Versions in CustomResourceDefinitions" in the documentation; apiextensions.k8s.io/v1 ConversionReview.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from typing import Any

import orjson

from api import errors
from api.objects import Object, copy
from control.apiserver.custom.served import CustomVersion
from control.apiserver.endpoint import Conversion
from control.apiserver.hooks.client import HookFailed, Hooks

_CACHED_TEXTS = 8192
_TIMEOUT_SECONDS = 30.0

Convert = Callable[[Sequence[Object], str], list[Object]]
"""From objects of any version to those of one apiVersion."""


def conversion(version: CustomVersion, storage: CustomVersion, hooks: Hooks) -> Conversion | None:
    """How this version and the storage version become one another; None if stored texts can be shown as they are."""
    definition = version.definition
    strategy = definition["spec"].get("conversion") or {}
    convert: Convert = _renamed
    if strategy.get("strategy") == "Webhook":
        convert = partial(_by_webhook, hooks, strategy["webhook"], definition["metadata"]["name"])
    elif len(definition["spec"]["versions"]) == 1 and definition["metadata"].get("generation") == 1:
        return None
    shown, kept = version.entry.resource.api_version, storage.entry.resource.api_version

    def from_storage(objects: Sequence[Object]) -> list[Object]:
        return [version.schema.prune(obj) for obj in convert(objects, shown)]

    @lru_cache(_CACHED_TEXTS)
    def text_from_storage(text: bytes) -> bytes:
        return orjson.dumps(from_storage([orjson.loads(text)])[0])

    return Conversion(
        to_storage=lambda obj: convert([obj], kept)[0],
        from_storage=lambda obj: from_storage([obj])[0],
        many_from_storage=from_storage,
        text_from_storage=text_from_storage,
        waits=convert is not _renamed,
    )


def _renamed(objects: Sequence[Object], api_version: str) -> list[Object]:
    """The strategy None: nothing but the version changes."""
    return [obj if obj.get("apiVersion") == api_version else obj | {"apiVersion": api_version} for obj in objects]


def _by_webhook(hooks: Hooks, webhook: Object, name: str, objects: Sequence[Object], api_version: str) -> list[Object]:
    """The strategy Webhook. Raises Unclassified with the original's words."""
    foreign = [obj for obj in objects if obj.get("apiVersion") != api_version]
    if not foreign:
        return list(objects)
    uid = hooks.runtime.uuid()
    review_version = next((one for one in webhook["conversionReviewVersions"] if one == "v1"), "v1beta1")
    review = {
        "kind": "ConversionReview",
        "apiVersion": f"apiextensions.k8s.io/{review_version}",
        "request": {"uid": uid, "desiredAPIVersion": api_version, "objects": foreign},
    }
    prefix = f"conversion webhook for {foreign[0].get('apiVersion')}, Kind={foreign[0].get('kind')} failed"
    try:
        answer = hooks.call(webhook["clientConfig"], review, _TIMEOUT_SECONDS)
    except HookFailed as error:
        raise errors.Unclassified(f"{prefix}: {error}") from error
    converted = _converted(prefix, answer, uid, foreign, api_version)
    return [converted.pop(0) if obj.get("apiVersion") != api_version else obj for obj in objects]


def _converted(prefix: str, review: Any, uid: str, asked: list[Object], api_version: str) -> list[Object]:
    """The objects of an answer, each checked to be what was asked for. Raises Unclassified."""
    response = review.get("response") if isinstance(review, dict) else None
    if not isinstance(response, dict) or response.get("uid") != uid:
        raise errors.Unclassified(f'{prefix}: expected response.uid="{uid}"')
    result = response.get("result") or {}
    if result.get("status") != "Success":
        message = result.get("message") or "received unsuccessful response"
        raise errors.Unclassified(f"{prefix}: {message}")
    found = response.get("convertedObjects") or []
    if len(found) != len(asked):
        raise errors.Unclassified(f"{prefix}: webhook returned {len(found)} objects, expected {len(asked)}")
    return [_checked(prefix, index, *pair, api_version) for index, pair in enumerate(zip(asked, found, strict=True))]


def _checked(prefix: str, index: int, before: Object, after: Any, api_version: str) -> Object:
    if not isinstance(after, dict) or after.get("apiVersion") != api_version:
        found = after.get("apiVersion") if isinstance(after, dict) else after
        raise errors.Unclassified(
            f"{prefix}: invalid groupVersion (expected {api_version}, received {found}) at index {index}"
        )
    if after.get("kind") != before.get("kind"):
        pair = f"(expected {before.get('kind')}, received {after.get('kind')})"
        raise errors.Unclassified(f"{prefix}: invalid kind {pair} at index {index}")
    metadata = after.get("metadata") or {}
    for field in ("name", "namespace", "uid"):
        if metadata.get(field) != before["metadata"].get(field):
            raise errors.Unclassified(f"{prefix}: metadata.{field} mutated at index {index}")
    # Only labels and annotations of the metadata are the webhook's to change.
    kept = copy(before["metadata"])
    for field in ("labels", "annotations"):
        kept.pop(field, None)
        if metadata.get(field):
            kept[field] = metadata[field]
    return after | {"metadata": kept}
