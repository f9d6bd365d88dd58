"""Stands in for the parts of the API library that are on their way; goes when they are here.

Invariant: nothing here is used once the real module can be imported.
"""

from __future__ import annotations

import importlib
import sys
import types
from typing import Any


def _table(entry: Any, objects: list[Any], now: float = 0.0, wide: bool = True) -> dict[str, Any]:
    column = {"name": "Name", "type": "string", "format": "name", "description": "", "priority": 0}
    rows = [{"cells": [found["metadata"]["name"]]} for found in objects]
    return {"kind": "Table", "columnDefinitions": [column], "rows": rows}


def _need(name: str, **members: Any) -> None:
    try:
        module = importlib.import_module(name)
    except ImportError:
        module = types.ModuleType(name)
        sys.modules[name] = module
        parent, _, leaf = name.rpartition(".")
        setattr(importlib.import_module(parent), leaf, module)
    for member, value in members.items():
        if not hasattr(module, member):
            setattr(module, member, value)


_need("api.validation", validate=lambda entry, new, old, subresource: [])
_need("api.patches.apply", apply_patch=None)
_need("control.apiserver.printing", table=_table)
