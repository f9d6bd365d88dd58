"""Column definitions, and the words for ages, lists and selectors that all kinds share.

Invariant: formatting never fails on an incomplete object: what is missing is `<none>`, `<unknown>` or `<unset>`, as the
original prints it for that column.
Source: "Receiving resources as Tables" in the API concepts; apimachinery's util/duration.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from api import schema
from api.objects import Object
from api.runtime import parse_timestamp
from api.selectors import LabelSelector

NONE, UNKNOWN, UNSET = "<none>", "<unknown>", "<unset>"
_CORE = "io.k8s.api.core.v1."
SHOWN = 3


class Doc(NamedTuple):
    """A description that the schema has: the definition and the field."""

    definition: str
    field: str


class Column(NamedTuple):
    """One column. `priority` 1 is shown by `-o wide` only; `about` is text or where the schema has it."""

    name: str
    type: str
    about: str | Doc
    format: str = ""
    priority: int = 0

    def to_json(self) -> Object:
        """The TableColumnDefinition."""
        about = self.about if isinstance(self.about, str) else schema.describe(*self.about)
        return {
            "name": self.name,
            "type": self.type,
            "format": self.format,
            "description": about,
            "priority": self.priority,
        }


Cells = list[Any]
Row = Callable[[Object, float], Cells]


class Printer(NamedTuple):
    """How a kind is printed: its columns, and the cells of one object at a time (seconds since the epoch)."""

    columns: tuple[Column, ...]
    row: Row


def core(definition: str, field: str) -> Doc:
    """A field of a definition of the core group."""
    return Doc(_CORE + definition, field)


NAME = Column("Name", "string", Doc(schema.OBJECT_META, "name"), format="name")
AGE = Column("Age", "string", Doc(schema.OBJECT_META, "creationTimestamp"))
CONTAINERS = Column("Containers", "string", "Names of each container in the template.", priority=1)
IMAGES = Column("Images", "string", "Images referenced by each container in the template.", priority=1)


def age(obj: Object, now: float) -> str:
    """How long ago the object was created."""
    return since(obj["metadata"].get("creationTimestamp"), now)


def since(timestamp: str | None, now: float) -> str:
    """How long ago that was, `<unknown>` without a time."""
    return human_duration(now - parse_timestamp(timestamp)) if timestamp else UNKNOWN


def human_duration(seconds: float) -> str:
    """At most two units, fewer as the time grows: `90s`, `5m30s`, `3h`, `2d4h`, `1y20d`."""
    if int(seconds) < -1:
        return "<invalid>"
    whole = max(int(seconds), 0)
    minutes, hours = whole // 60, whole // 3600
    if whole < 120:
        return f"{whole}s"
    if minutes < 10:
        return f"{minutes}m{whole % 60}s" if whole % 60 else f"{minutes}m"
    if minutes < 180:
        return f"{minutes}m"
    if hours < 8:
        return f"{hours}h{minutes % 60}m" if minutes % 60 else f"{hours}h"
    if hours < 48:
        return f"{hours}h"
    days, years = hours // 24, hours // 24 // 365
    if hours < 192:
        return f"{days}d{hours % 24}h" if hours % 24 else f"{days}d"
    if years < 2:
        return f"{days}d"
    if years < 8:
        return f"{years}y{days % 365}d" if days % 365 else f"{years}y"
    return f"{years}y"


def joined(values: Iterable[str], otherwise: str = NONE) -> str:
    """Values with commas between them, or the word for none."""
    return ",".join(values) or otherwise


def shortened(values: list[str], otherwise: str, limit: int = SHOWN, separator: str = ",") -> str:
    """The first few values and how many more there are."""
    if not values:
        return otherwise
    text = separator.join(values[:limit])
    return f"{text} + {len(values) - limit} more..." if len(values) > limit else text


def labels_text(labels: Mapping[str, str] | None) -> str:
    """A plain map of labels, sorted."""
    return joined(f"{key}={value}" for key, value in sorted((labels or {}).items()))


def selector_text(selector: Mapping[str, Any] | None) -> str:
    """A LabelSelector object as text."""
    try:
        return str(LabelSelector.from_json(selector)) or NONE
    except ValueError:
        return "<error>"


def containers_and_images(template: Mapping[str, Any] | None) -> tuple[str, str]:
    """Names and images of a pod template's containers."""
    containers = ((template or {}).get("spec") or {}).get("containers") or []
    names = ",".join(str(container.get("name", "")) for container in containers)
    return names, ",".join(str(container.get("image", "")) for container in containers)


def boolean(value: bool | None) -> str:
    """`True`, `False` or `<unset>`."""
    return UNSET if value is None else str(value)
