"""Filters from and to JSON and YAML.

Source: Ansible, "Formatting data: YAML and JSON".
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import yaml

from playbooks.engine.evaluation.undefined import refuse_undefined
from playbooks.errors import TemplateError

_Base: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


class _Dumper(_Base):  # type: ignore[misc]
    """Writes subclasses of the plain types as those, and never an alias."""

    def ignore_aliases(self, data: Any) -> bool:
        """YAML of playbooks is read by people."""
        return True


_Dumper.add_multi_representer(dict, yaml.SafeDumper.represent_dict)
_Dumper.add_multi_representer(list, yaml.SafeDumper.represent_list)
_Dumper.add_multi_representer(str, yaml.SafeDumper.represent_str)


def _default(value: Any) -> Any:
    refuse_undefined(value)
    if isinstance(value, Mapping):
        return dict(value)
    if hasattr(value, "isoformat"):
        return value.isoformat()
    return list(value) if hasattr(value, "__iter__") else str(value)


def to_json(value: Any, **options: Any) -> str:
    """JSON on one line."""
    for ansible_only in ("vault_to_text", "preprocess_unsafe"):
        options.pop(ansible_only, None)
    return json.dumps(value, default=_default, **options)


def to_nice_json(value: Any, indent: int = 4, sort_keys: bool = True, **options: Any) -> str:
    """JSON for people."""
    return to_json(value, indent=indent, sort_keys=sort_keys, separators=(",", ": "), **options)


def to_yaml(value: Any, default_flow_style: bool | None = None, **options: Any) -> str:
    """YAML."""
    refuse_undefined(value)
    text = yaml.dump(value, Dumper=_Dumper, allow_unicode=True, default_flow_style=default_flow_style, **options)
    return str(text)


def to_nice_yaml(value: Any, indent: int = 4, **options: Any) -> str:
    """YAML for people."""
    return to_yaml(value, indent=indent, default_flow_style=False, **options)


def from_yaml(text: Any) -> Any:
    """The value of a YAML text. Raises TemplateError."""
    try:
        return yaml.safe_load(text) if isinstance(text, str) else text
    except yaml.YAMLError as error:
        raise TemplateError(f"from_yaml: {error}") from error


def from_yaml_all(text: Any) -> Any:
    """The values of a YAML text of several documents."""
    if text is None:
        return []
    return list(yaml.safe_load_all(text)) if isinstance(text, str) else text


FILTERS: Mapping[str, Callable[..., Any]] = {
    "to_json": to_json,
    "to_nice_json": to_nice_json,
    "to_yaml": to_yaml,
    "to_nice_yaml": to_nice_yaml,
    "from_json": lambda text: json.loads(text),
    "from_yaml": from_yaml,
    "from_yaml_all": from_yaml_all,
}
