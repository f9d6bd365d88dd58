"""Rules for admission policies and their bindings.

Source: the original's pkg/apis/admissionregistration/validation.
"""

from __future__ import annotations

from collections.abc import Sequence

from api import names
from api.cel import constructors, escaping
from api.objects import Object
from api.validation import admission_hooks as hooks
from api.validation import fields
from api.validation.fields import Causes

_CHANGES = ("*", "CONNECT", "CREATE", "UPDATE")
_REASONS = ("Forbidden", "Invalid", "RequestEntityTooLarge")
_MOST_ANNOTATIONS = 20
_LONGEST_ANNOTATION = 5 * 1024
# For each type of patch the field that has its expression, the one that must not be there, and what it constructs.
_PATCHES = {
    "ApplyConfiguration": ("applyConfiguration", "jsonPatch", constructors.OBJECT),
    "JSONPatch": ("jsonPatch", "applyConfiguration", constructors.JSON_PATCH),
}
_ACTIONS = ("Audit", "Deny", "Warn")


def _policy(new: Object, old: Object | None, subresource: str) -> Causes:
    if subresource == "status":
        return []
    spec = new["spec"]
    mutating = new.get("kind") == "MutatingAdmissionPolicy"
    found = fields.one_of("spec.failurePolicy", spec.get("failurePolicy"), ("Fail", "Ignore"))
    found += _param_kind("spec.paramKind", spec.get("paramKind"))
    constraints = spec.get("matchConstraints")
    if constraints is None:
        found.append(fields.required("spec.matchConstraints"))
    else:
        found += _match_resources("spec.matchConstraints", constraints, _CHANGES if mutating else hooks.OPERATIONS)
        if not constraints.get("resourceRules"):
            found.append(fields.required("spec.matchConstraints.resourceRules"))
    found += hooks.conditions("spec", spec)
    for path, variable in fields.each(spec, "variables", "spec"):
        found += _variable(path, variable)
    return found + (_mutations(spec) if mutating else _validations(new))


def _param_kind(path: str, kind: Object | None) -> Causes:
    if kind is None:
        return []
    found: Causes = []
    version = kind.get("apiVersion") or ""
    if not version:
        found.append(fields.required(f"{path}.apiVersion"))
    elif version.count("/") > 1:
        found.append(fields.invalid(f"{path}.apiVersion", version, f"unexpected GroupVersion string: {version}"))
    else:
        group, _, name = version.rpartition("/")
        found += fields.problems(f"{path}.apiVersion", group, names.dns_subdomain_problems) if group else []
        if not name:
            found.append(fields.invalid(f"{path}.apiVersion", version, "version must be specified"))
        else:
            found += fields.problems(f"{path}.apiVersion", name, names.dns_1035_label_problems)
    if not kind.get("kind"):
        return [*found, fields.required(f"{path}.kind")]
    told = names.dns_1035_label_problems(kind["kind"].lower())
    if told:
        detail = "may have mixed case, but should otherwise match: " + ",".join(told)
        found.append(fields.invalid(f"{path}.kind", kind["kind"], detail))
    return found


def _match_resources(path: str, resources: Object, operations: Sequence[str]) -> Causes:
    found = fields.one_of(f"{path}.matchPolicy", resources.get("matchPolicy"), ("Equivalent", "Exact"))
    for name in ("namespaceSelector", "objectSelector"):
        found += fields.label_selector(f"{path}.{name}", resources.get(name))
    for name in ("resourceRules", "excludeResourceRules"):
        for place, rule in fields.each(resources, name, path):
            given = rule.get("resourceNames") or []
            for index, one in enumerate(given):
                found += fields.problems(f"{place}.resourceNames[{index}]", one, names.path_segment_problems)
                if one in given[:index]:
                    found.append(fields.duplicate(f"{place}.resourceNames[{index}]", one))
        found += hooks.rules(resources, name, path, operations)
    return found


def _variable(path: str, variable: Object) -> Causes:
    name, text = variable.get("name") or "", variable.get("expression") or ""
    found: Causes = []
    if not name.strip():
        found.append(fields.required(f"{path}.name", "name is not specified"))
    elif not escaping.is_identifier(name):
        found.append(fields.invalid(f"{path}.name", name, "name is not a valid CEL identifier"))
    if not text.strip():
        return [*found, fields.required(f"{path}.expression", "expression is not specified")]
    return found + hooks.compiles(f"{path}.expression", text, "")


def _validations(policy: Object) -> Causes:
    spec = policy["spec"]
    if not spec.get("validations") and not spec.get("auditAnnotations"):
        detail = "validations or auditAnnotations must contain at least one item"
        return [fields.required("spec.validations", detail), fields.required("spec.auditAnnotations", detail)]
    found: Causes = []
    for path, validation in fields.each(spec, "validations", "spec"):
        found += _validation(path, validation)
    annotations = spec.get("auditAnnotations") or []
    if len(annotations) > _MOST_ANNOTATIONS:
        detail = f"must not have more than {_MOST_ANNOTATIONS} auditAnnotations"
        found.append(fields.invalid("spec.auditAnnotations", annotations, detail))
    for index, (path, annotation) in enumerate(fields.each(spec, "auditAnnotations", "spec")):
        found += _audit_annotation(path, annotation, policy["metadata"].get("name") or "")
        if annotation.get("key") in [one.get("key") for one in annotations[:index]]:
            found.append(fields.duplicate(f"{path}.key", annotation.get("key")))
    return found


def _validation(path: str, validation: Object) -> Causes:
    found: Causes = []
    text, said = validation.get("expression") or "", validation.get("message") or ""
    saying = validation.get("messageExpression") or ""
    if not text.strip():
        found.append(fields.required(f"{path}.expression", "expression is not specified"))
    else:
        found += hooks.compiles(f"{path}.expression", text, "BOOL")
    if saying.strip():
        found += hooks.compiles(f"{path}.messageExpression", saying, "STRING")
    elif saying:
        found.append(fields.invalid(f"{path}.messageExpression", saying, "must be non-empty if specified"))
    if said and not said.strip():
        found.append(fields.invalid(f"{path}.message", said, "message must be non-empty if specified"))
    elif len(said.strip().splitlines()) > 1:
        found.append(fields.invalid(f"{path}.message", said, "message must not contain line breaks"))
    return found + fields.one_of(f"{path}.reason", validation.get("reason"), _REASONS, is_required=False)


def _audit_annotation(path: str, annotation: Object, policy: str) -> Causes:
    key, text = annotation.get("key") or "", annotation.get("valueExpression") or ""
    found = fields.problems(f"{path}.key", f"{policy}/{key}", names.label_key_problems) if policy else [
        fields.invalid(f"{path}.key", key, "requires metadata.name be non-empty")
    ]  # fmt: skip
    if not text.strip():
        return [*found, fields.required(f"{path}.valueExpression", "valueExpression is not specified")]
    if len(text.strip()) > _LONGEST_ANNOTATION:
        detail = f"must not exceed {_LONGEST_ANNOTATION} bytes in length"
        return [*found, fields.required(f"{path}.valueExpression", detail)]
    told = hooks.compiles(f"{path}.valueExpression", text, "")
    if not told and hooks.type_of(text) not in ("STRING", "NULL", "DYN"):
        detail = f"must evaluate to one of [string null_type] but got {hooks.type_name(hooks.type_of(text))}"
        told = [fields.invalid(f"{path}.valueExpression", text, detail)]
    return found + told


def _mutations(spec: Object) -> Causes:
    found: Causes = []
    if not spec.get("mutations"):
        found.append(fields.required("spec.mutations", "mutations must contain at least one item"))
    for path, mutation in fields.each(spec, "mutations", "spec"):
        found += _mutation(path, mutation)
    return found + fields.one_of("spec.reinvocationPolicy", spec.get("reinvocationPolicy"), ("IfNeeded", "Never"))


def _mutation(path: str, mutation: Object) -> Causes:
    kind = mutation.get("patchType") or ""
    if kind not in _PATCHES:
        return fields.one_of(f"{path}.patchType", kind, tuple(_PATCHES))
    field, other, wanted = _PATCHES[kind]
    found: Causes = []
    if mutation.get(field) is None:
        found.append(fields.required(f"{path}.{field}", f"must be specified when patchType is {kind}"))
    else:
        text = str(mutation[field].get("expression") or "").strip()
        found += _constructs(f"{path}.{field}.expression", text, wanted) if text else [
            fields.required(f"{path}.{field}.expression")
        ]  # fmt: skip
    if mutation.get(other) is not None:
        detail = f"must not be specified when patchType is {kind}"
        found.append(fields.invalid(f"{path}.{other}", f"{{{other}}}", detail))
    return found


def _constructs(path: str, text: str, wanted: str) -> Causes:
    """Whether an expression compiles to an object to apply, or to a JSON patch."""
    told = hooks.compiles(path, text, "")
    if told or constructors.is_type(wanted, hooks.type_of(text)):
        return told
    name = wanted if wanted == constructors.OBJECT else f"list({wanted})"
    return [fields.invalid(path, text, f"must evaluate to {name} but got {hooks.type_name(hooks.type_of(text))}")]


def _binding(new: Object, old: Object | None, subresource: str) -> Causes:
    spec = new["spec"]
    found = fields.needed("spec.policyName", spec.get("policyName"), names.dns_subdomain_problems)
    found += _param_reference("spec.paramRef", spec.get("paramRef"))
    if spec.get("matchResources") is not None:
        mutating = new.get("kind") == "MutatingAdmissionPolicyBinding"
        found += _match_resources(
            "spec.matchResouces", spec["matchResources"], _CHANGES if mutating else hooks.OPERATIONS
        )
    if new.get("kind") == "ValidatingAdmissionPolicyBinding":
        found += _actions("spec.validationActions", spec.get("validationActions") or [])
    return found


def _actions(path: str, actions: list[str]) -> Causes:
    found: Causes = []
    for index, action in enumerate(actions):
        if action not in _ACTIONS:
            found.append(fields.not_supported(f"{path}[{index}]", action, _ACTIONS))
        if action in actions[:index]:
            found.append(fields.duplicate(f"{path}[{index}]", action))
    if {"Deny", "Warn"} <= set(actions):
        detail = (
            "must not contain both Deny and Warn (repeating the same validation failure information in the API"
            " response and headers serves no purpose)"
        )
        found.append(fields.invalid(path, actions, detail))
    if not actions:
        found.append(fields.required(path, "at least one validation action is required"))
    return found


def _param_reference(path: str, reference: Object | None) -> Causes:
    if reference is None:
        return []
    name, selector = reference.get("name") or "", reference.get("selector")
    found = fields.problems(f"{path}.name", name, names.path_segment_problems) if name else []
    if name and selector is not None:
        found.append(fields.forbidden(f"{path}.name", "name and selector are mutually exclusive"))
    found += fields.label_selector(f"{path}.selector", selector)
    if name and selector is not None:
        found.append(fields.forbidden(f"{path}.selector", "name and selector are mutually exclusive"))
    if not name and selector is None:
        found.append(fields.required(path, "one of name or selector must be specified"))
    action = reference.get("parameterNotFoundAction")
    return found + fields.one_of(f"{path}.parameterNotFoundAction", action, ("Deny", "Allow"))


VALIDATORS = {
    "ValidatingAdmissionPolicy": _policy,
    "MutatingAdmissionPolicy": _policy,
    "ValidatingAdmissionPolicyBinding": _binding,
    "MutatingAdmissionPolicyBinding": _binding,
}
