"""ControllerRevisions: the history of templates of DaemonSets and StatefulSets.

Invariant: one content has one revision; going back to an older content gives that revision the newest number.
Source: kubernetes pkg/controller/history.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson

from api.client import Client
from api.errors import AlreadyExists, NotFound
from api.informer import Informer
from api.objects import (
    Object,
    annotations_of,
    controller_of,
    copy,
    is_deleting,
    labels_of,
    name_of,
    namespace_of,
    owner_reference,
    uid_of,
)
from api.resources import Resource
from api.selectors import LabelSelector
from control.controllers.claims import Claimer
from control.controllers.deployment.history import template_hash

_RESOURCE = "controllerrevisions.apps"


def content(owner: Object) -> Object:
    """What a revision keeps: the pod template, as a patch that restores it.

    Its fields are in the order of the alphabet, as the original writes them: clients compare the bytes.
    """
    template = owner["spec"]["template"] | {"$patch": "replace"}
    kept: Object = orjson.loads(orjson.dumps({"spec": {"template": template}}, option=orjson.OPT_SORT_KEYS))
    return kept


def latest(revisions: Iterable[Object], data: Mapping[str, Any]) -> Object | None:
    """The revision with that content."""
    found = [one for one in revisions if one.get("data") == data]
    return max(found, key=number) if found else None


def number(revision: Object) -> int:
    """The revision's number."""
    return int(revision.get("revision") or 0)


def template_of(revision: Object) -> Object:
    """The pod template that a revision keeps."""
    template = copy(revision["data"]["spec"]["template"])
    template.pop("$patch", None)
    return template


def superfluous(revisions: Sequence[Object], live: Iterable[str], limit: int) -> list[Object]:
    """Revisions beyond the history limit that no pod uses, oldest first."""
    used = set(live)
    unused = sorted((one for one in revisions if name_of(one) not in used), key=number)
    return unused[: max(0, len(unused) - limit)]


class Revisions:
    """Reads and writes the revisions of one kind of owner."""

    def __init__(self, client: Client, informer: Informer, owners: Resource) -> None:
        self._client = client
        self._owners = owners
        self._claimer = Claimer(client, informer, owners)

    def of(self, owner: Object) -> list[Object]:
        """The owner's revisions, oldest first; those that an earlier owner left behind are adopted. Raises ApiError."""
        claimed = self._claimer.claim(owner, LabelSelector.from_json(owner["spec"]["selector"]))
        return sorted((one for one in claimed if not is_deleting(one)), key=number)

    def current(self, owner: Object, collisions: int) -> Object:
        """The revision of the owner's present template, made or renumbered if need be. Raises ApiError."""
        labels = labels_of(owner["spec"]["template"])
        data = content(owner)
        present = self.of(owner)
        highest = max(map(number, present), default=0)
        found = latest(present, data)
        if found is not None:
            if number(found) < highest:
                return self._client.update(_RESOURCE, copy(found) | {"revision": highest + 1})
            return found
        return self._create(owner, data, dict(labels), highest + 1, collisions)

    def clean(self, owner: Object, live: Iterable[str]) -> None:
        """Delete what is beyond the history limit."""
        limit = owner["spec"].get("revisionHistoryLimit")
        for one in superfluous(self.of(owner), live, 10 if limit is None else int(limit)):
            try:
                self._client.delete(_RESOURCE, name_of(one), namespace_of(one), uid=uid_of(one))
            except NotFound:
                continue

    def _create(self, owner: Object, data: Object, labels: dict[str, str], revision: int, collisions: int) -> Object:
        digest = template_hash(owner["spec"]["template"], collisions)
        wanted: Object = {
            "apiVersion": "apps/v1",
            "kind": "ControllerRevision",
            "metadata": {
                "name": f"{name_of(owner)}-{digest}",
                "namespace": namespace_of(owner),
                "labels": labels | {"controller-revision-hash": digest},
                # What was the cause of the change is told by the history.
                "annotations": dict(annotations_of(owner)),
                "ownerReferences": [
                    owner_reference(owner, api_version=self._owners.api_version, kind=self._owners.kind)
                ],
            },
            "data": data,
            "revision": revision,
        }
        try:
            return self._client.create(_RESOURCE, wanted)
        except AlreadyExists:
            present = self._client.get(_RESOURCE, name_of(wanted), namespace_of(wanted))
            if (controller_of(present) or {}).get("uid") == uid_of(owner) and present.get("data") == data:
                return present
            return self._create(owner, data, labels, revision, collisions + 1)
