"""Which objects of a collection a list, watch or deletecollection means: namespace, labels and fields.

Invariant: a selection only looks at what the cache keeps beside each object; it never parses one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from api import errors
from api.resources import Resource
from api.selectors import FieldSelector, LabelSelector
from control.apiserver.cached import METADATA_FIELDS, CachedObject, Fields
from control.apiserver.request import Request

_ALL_LABELS = LabelSelector()
_ALL_FIELDS = FieldSelector()


@dataclass(frozen=True, slots=True)
class Selection:
    """`namespace` is "" for all of them."""

    namespace: str = ""
    labels: LabelSelector = _ALL_LABELS
    fields: FieldSelector = _ALL_FIELDS

    @property
    def everything(self) -> bool:
        """Whether each object of the namespace is meant."""
        return self.labels.empty and self.fields.empty

    @property
    def trigger(self) -> tuple[str, str] | None:
        """One (field, value) that every selected object has, the most selective one known."""
        for field in ("metadata.name", "spec.nodeName"):
            value = self.fields.value_of(field)
            if value is not None:
                return field, value
        return ("metadata.namespace", self.namespace) if self.namespace else None

    def matches(self, found: CachedObject) -> bool:
        """Whether the object is meant."""
        if self.namespace and found.fields["metadata.namespace"] != self.namespace:
            return False
        if not self.labels.empty and not self.labels.matches(found.labels):
            return False
        return self.fields.empty or self.fields.matches(found.fields.__getitem__)

    def split(self) -> tuple[Selection, FieldSelector]:
        """What can be decided by the stored object alone, and the rest: fields that a conversion may rename."""
        early = FieldSelector(tuple(term for term in self.fields.terms if term.field in METADATA_FIELDS))
        late = FieldSelector(tuple(term for term in self.fields.terms if term.field not in METADATA_FIELDS))
        return replace(self, fields=early), late


def selection(
    request: Request, resource: Resource, fields: Fields, labels: Mapping[str, str] | None = None
) -> Selection:
    """What a request selects; `labels` are its names of the fields where those differ.

    Raises BadRequest for a selector that cannot be read or a field that has none.
    """
    namespace = request.info.namespace if resource.namespaced else ""
    if not request.environ.get("QUERY_STRING"):
        return Selection(namespace)
    label_text, field_text = request.query.get("labelSelector", ""), request.query.get("fieldSelector", "")
    if not label_text and not field_text:
        return Selection(namespace)
    try:
        wanted, selected = LabelSelector.parse(label_text), FieldSelector.parse(field_text)
    except ValueError as error:
        raise errors.BadRequest(str(error)) from error
    for term in selected.terms:
        if term.field not in (fields if labels is None else labels):
            raise errors.BadRequest(_unsupported(resource, fields, term.field))
    if labels is not None:
        selected = FieldSelector(tuple(replace(term, field=labels[term.field]) for term in selected.terms))
    return Selection(namespace, wanted, selected)


def _unsupported(resource: Resource, fields: Fields, field: str) -> str:
    """The original's words; a kind without fields of its own has the general ones."""
    if len(fields) <= len(METADATA_FIELDS):
        return f'"{field}" is not a known field selector: only "metadata.name", "metadata.namespace"'
    if resource.group == "batch":
        return f'field label "{field}" not supported for {resource.kind}'
    return f"field label not supported: {field}"
