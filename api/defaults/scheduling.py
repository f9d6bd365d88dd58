"""Defaults of scheduling.k8s.io.

Source: "PriorityClass" in the API reference.
"""

from __future__ import annotations

from api.defaults.fill import fill_absent
from api.objects import Object


def _priority_class(priority_class: Object) -> None:
    fill_absent(priority_class, preemptionPolicy="PreemptLowerPriority", value=0)


DEFAULTERS = {"PriorityClass": _priority_class}
