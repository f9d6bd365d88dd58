"""The rules of a schema in the Common Expression Language (x-kubernetes-validations).

A rule sees the value where it stands as `self`, and as `oldSelf` what the value was before an update; a rule that
names `oldSelf` is asked only where there is an old value to compare with.

Invariant: rules are compiled once; they are asked only about objects that the schema itself has accepted.
Source: "Validation rules" in the documentation of CustomResourceDefinitions; apiextensions-apiserver/pkg/apiserver/
schema/cel/validation.go for the sentences.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from api import cel
from api.cel import cost
from api.cel.sizes import least
from api.cel.types import Types
from api.cel.values import Convert, converter
from api.custom import correlating, rule_costs, structure
from api.custom.rule_costs import Cost
from api.custom.structure import Schema
from api.errors import Cause
from api.validation import fields

_OLD_SELF = re.compile(r"\boldSelf\b")
_REASONS = {"FieldValueForbidden": "Forbidden", "FieldValueRequired": "Required value"}
_ROOT = {"apiVersion": {"type": "string"}, "kind": {"type": "string"}}
_NAME = {"type": "string", "maxLength": 253}
_METADATA = {"type": "object", "properties": {"name": _NAME, "generateName": _NAME}}


@dataclass(frozen=True, slots=True)
class Rule:
    """One compiled rule."""

    declared: Mapping[str, Any]
    program: cel.Program
    message: cel.Program | None
    is_transition: bool
    old_is_optional: bool

    def judge(self, values: Mapping[str, Any]) -> str | None:
        """What is wrong, None if nothing is."""
        text = str(self.declared["rule"]).strip()
        told = str(self.declared.get("message") or "").strip()
        try:
            if self.program.evaluate(values) is True:
                return None
        except cel.CelError as error:
            return _failure(str(error), told or text)
        return self._sentence(values) or told or f"failed rule: {text}"

    def _sentence(self, values: Mapping[str, Any]) -> str:
        if self.message is None:
            return ""
        try:
            found = self.message.evaluate(values)
        except cel.CelError:
            return ""
        return found.strip() if isinstance(found, str) and "\n" not in found else ""


def _failure(error: str, rule: str) -> str:
    """How a rule that could not be evaluated is told."""
    if error.startswith("no such overload"):
        why = "call arguments did not match a supported operator, function or macro signature"
        return f"'{error}': {why} for rule: {rule}"
    if error == cel.OUT_OF_BUDGET:
        return f"'{error}': no further validation rules will be run due to call cost exceeds limit for rule: {rule}"
    return f"{error} evaluating rule: {rule}"


class Rules:
    """The rules of a schema and of everything inside it; made when first asked."""

    def __init__(self, schema: Schema) -> None:
        self._rules = [_compiled(declared) for declared in schema.get(structure.RULES) or ()]
        self._convert: Convert | None = converter(schema) if self._rules else None
        self._schema = schema
        self._properties = _inside(schema.get("properties") or {})
        self._items = _one(schema.get("items"))
        self._extra = _one(schema.get("additionalProperties"))

    @property
    def is_empty(self) -> bool:
        """Whether there is no rule at all."""
        return not (self._rules or self._properties or self._items or self._extra)

    def judge(self, value: Any, old: Any, path: str, has_old: bool) -> list[Cause]:
        """What the rules say against a value; what an update leaves as it was is forgiven."""
        if value is None:
            return []
        found: list[Cause] = []
        for rule in self._rules:
            found += self._apply(rule, value, old, path, has_old)
        if isinstance(value, dict):
            before = old if isinstance(old, dict) else {}
            for name, part in value.items():
                inner = self._properties.get(name) if name in self._known else self._extra
                if inner is not None:
                    place = f"{path}.{name}".removeprefix(".") if name in self._known else f"{path}[{name}]"
                    found += inner.judge(part, before.get(name), place, name in before)
        elif isinstance(value, list) and self._items is not None:
            matched = correlating.items(self._schema, value, old)
            for index, part in enumerate(value):
                found += self._items.judge(part, matched.get(index), f"{path}[{index}]", index in matched)
        return found

    @property
    def _known(self) -> Mapping[str, Any]:
        return self._schema.get("properties") or {}

    def _apply(self, rule: Rule, value: Any, old: Any, path: str, has_old: bool) -> list[Cause]:
        if rule.is_transition and not has_old and not rule.old_is_optional:
            return []
        if has_old and not rule.is_transition and value == old:
            return []
        convert = self._convert or (lambda one: one)
        values: dict[str, Any] = {"self": convert(value)}
        if rule.is_transition:
            before = convert(old) if has_old else None
            values["oldSelf"] = ([before] if has_old else []) if rule.old_is_optional else before
        sentence = rule.judge(values)
        return [] if sentence is None else [self._cause(rule, sentence, path)]

    def _cause(self, rule: Rule, sentence: str, path: str) -> Cause:
        place = path + str(rule.declared.get("fieldPath") or "")
        place = place.removeprefix(".")
        reason = str(rule.declared.get("reason") or "FieldValueInvalid")
        kind = self._schema.get("type") or "object"
        if reason in _REASONS:
            return Cause(reason, f"{_REASONS[reason]}: {sentence}", place)
        if reason == "FieldValueDuplicate":
            return fields.duplicate(place, kind)
        return fields.invalid(place, kind, sentence)


def _one(schema: Any) -> Rules | None:
    made = Rules(schema) if isinstance(schema, Mapping) else None
    return None if made is None or made.is_empty else made


def _inside(properties: Mapping[str, Any]) -> dict[str, Rules]:
    made = {name: _one(inner) for name, inner in properties.items()}
    return {name: rules for name, rules in made.items() if rules is not None}


@lru_cache(1)
def _environment() -> cel.Environment:
    return cel.Environment({"self": cel.DYN, "oldSelf": cel.DYN})


@lru_cache(1)
def _optional_environment() -> cel.Environment:
    """The evaluator takes no optional values from outside, so one comes as a list of at most one item."""
    return cel.Environment({"self": cel.DYN, "oldSelf": "list<dyn>"})


def _compiled(declared: Mapping[str, Any]) -> Rule:
    text, message = str(declared["rule"]), declared.get("messageExpression")
    optional = bool(declared.get("optionalOldSelf"))
    environment = _optional_environment() if optional else _environment()
    return Rule(
        declared,
        environment.compile(_with_optional(text) if optional else text),
        environment.compile(_with_optional(str(message)) if optional else str(message)) if message else None,
        bool(_OLD_SELF.search(text)),
        optional,
    )


def _with_optional(text: str) -> str:
    return f"cel.bind(oldSelf, oldSelf[?0], {text})"


@dataclass(slots=True)
class Judged:
    """What is wrong with the rules of a schema, and what those that are right may cost."""

    causes: list[Cause] = field(default_factory=list)
    costs: list[Cost] = field(default_factory=list)


def problems(path: str, schema: Schema) -> list[Cause]:
    """What is wrong with the rules of a schema themselves, found by the type checker and by what they may cost."""
    judged = judge(path, schema)
    return judged.causes or rule_costs.problems(path, judged.costs)


def judge(path: str, schema: Schema) -> Judged:
    """What is to be said of the rules of a whole schema."""
    judged = Judged()
    root = {**schema, "properties": {**(schema.get("properties") or {}), **_ROOT, "metadata": _METADATA}}
    _judge(path, root, 1, judged)
    return judged


def _judge(path: str, schema: Schema, occurring: int | None, judged: Judged) -> None:
    """`occurring` is how often values of the schema can be in an object, None without limit."""
    declared = schema.get(structure.RULES) or ()
    if declared:
        types = Types()
        kind = types.add(schema)
        often = rule_costs.times(occurring, least(schema))
        for index, rule in enumerate(declared):
            _judge_rule(f"{path}.{structure.RULES}[{index}]", rule, types, kind, (schema, often), judged)
    for name, inner in (schema.get("properties") or {}).items():
        _judge(f"{path}.properties[{name}]", inner, occurring, judged)
    for word, limit in (("items", "maxItems"), ("additionalProperties", "maxProperties")):
        if isinstance(schema.get(word), Mapping):
            inside = rule_costs.occurrences(occurring, schema.get(limit))
            _judge(f"{path}.{word}", schema[word], inside, judged)


def _judge_rule(
    path: str, rule: Mapping[str, Any], types: Types, kind: str, where: tuple[Schema, int], judged: Judged
) -> None:
    """`where` is the schema that the rule belongs to, and how often that occurs."""
    text = str(rule.get("rule") or "").strip()
    if not text:
        judged.causes.append(fields.required(f"{path}.rule", "rule is not specified"))
        return
    (schema, often), optional = where, bool(rule.get("optionalOldSelf"))
    old: Schema = {"type": "array", "items": schema, "maxItems": 1} if optional else schema
    environment = cel.Environment({"self": kind, "oldSelf": f"list<{kind}>" if optional else kind}, types.pool)
    expressions = [(f"{path}.rule", "rule", text, "BOOL", "cel expression must evaluate to a bool")]
    message = rule.get("messageExpression")
    if message:
        sentence = "messageExpression must evaluate to a string"
        expressions.append((f"{path}.messageExpression", "messageExpression", str(message), "STRING", sentence))
    for place, what, given, wanted, why in expressions:
        given = _with_optional(given) if optional else given
        try:
            program = environment.compile(given)
        except cel.CelError as error:
            judged.causes.append(fields.invalid(place, given, str(error)))
            continue
        if program.result_type not in (wanted, "DYN"):
            judged.causes.append(fields.invalid(place, given, why))
        once = cost.estimate(program.serialized(), {"self": schema, "oldSelf": old})
        judged.costs.append(Cost(place, what, once * (often if what == "rule" else 1)))
    if rule.get("reason") and rule["reason"] not in (*_REASONS, "FieldValueInvalid", "FieldValueDuplicate"):
        supported = ("FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired", "FieldValueDuplicate")
        judged.causes.append(fields.not_supported(f"{path}.reason", rule["reason"], supported))
