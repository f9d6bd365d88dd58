"""The note that client-side `kubectl apply` leaves on an object, and how apply on the server gets along with it.

kubectl once compared in itself, and kept what it had applied in an annotation. Whoever goes over to apply on the
server must not be stopped by his own earlier writes, and who goes back must find a note that tells the last apply.

Invariant: only the manager `kubectl` overrules and notes; a field that was changed since the note is nobody's to yield.
Source: managedfields/internal/lastappliedmanager.go and lastappliedupdater.go.
"""

from __future__ import annotations

from typing import Any

import orjson

from api.objects import Object
from api.patches.apply import typed
from api.patches.apply.paths import Paths
from api.patches.apply.shapes import Shape

MANAGER = "kubectl"
ANNOTATION = "kubectl.kubernetes.io/last-applied-configuration"
_LARGEST_ANNOTATIONS = 256 << 10
_NOTHING: Paths = frozenset()


def yielding(live: Object, version: str, shape: Shape) -> Paths:
    """The fields that the note of the live object states and that still have the noted value."""
    try:
        noted = orjson.loads(_annotations(live).get(ANNOTATION) or "null")
    except orjson.JSONDecodeError:
        return _NOTHING
    if not isinstance(noted, dict) or noted.get("apiVersion") != version:
        return _NOTHING
    difference = typed.compare(noted, live, shape)
    return typed.field_set(noted, shape) - difference.modified - difference.added - difference.removed


def noting(obj: Object, configuration: Object) -> Object:
    """The object with its note brought up to date; one without a note gets none, a note too long for it goes."""
    annotations = _annotations(obj)
    if not annotations.get(ANNOTATION):
        return obj
    kept = {name: value for name, value in annotations.items() if name != ANNOTATION}
    noted = kept | {ANNOTATION: orjson.dumps(_without_note(configuration), option=orjson.OPT_SORT_KEYS).decode() + "\n"}
    if sum(len(text.encode()) for pair in noted.items() for text in pair) > _LARGEST_ANNOTATIONS:
        noted = kept
    return obj | {"metadata": obj["metadata"] | {"annotations": noted}}


def _without_note(configuration: Object) -> Object:
    annotations = _annotations(configuration)
    if ANNOTATION not in annotations:
        return configuration
    kept = {name: value for name, value in annotations.items() if name != ANNOTATION}
    return configuration | {"metadata": configuration["metadata"] | {"annotations": kept}}


def _annotations(obj: Object) -> dict[str, Any]:
    return (obj.get("metadata") or {}).get("annotations") or {}
