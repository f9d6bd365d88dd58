"""Rules for the security contexts of pods and containers.

Source: the original's ValidateSecurityContext, validatePodSpecSecurityContext and validateHostUsers.
"""

from __future__ import annotations

import re

from api.app_armor import LONGEST
from api.objects import Object
from api.validation import fields
from api.validation.fields import Causes
from api.validation.operating_systems import windows_options

_MAX_ID = 2**31 - 1
_PROFILES = ("Localhost", "RuntimeDefault", "Unconfined")
_SEGMENT = "[a-z0-9]([-_a-z0-9]*[a-z0-9])?"
_SYSCTL = rf"^({_SEGMENT}[\./])*{_SEGMENT}$"
_LONGEST_SYSCTL = 253
_ESCALATION = "cannot set `allowPrivilegeEscalation` to false and "
_WITHOUT_HOST_USERS = "when `pod.Spec.HostUsers` is false"


def container(path: str, context: Object, host_users: bool) -> Causes:
    """The context of one container; `host_users` says that the pod shares the host's users."""
    found = _ids(path, context) + windows_options(f"{path}.windowsOptions", context.get("windowsOptions"))
    mount = context.get("procMount")
    if mount is not None:
        found += fields.one_of(f"{path}.procMount", mount, ("Default", "Unmasked"))
        if host_users and mount == "Unmasked":
            found.append(fields.invalid(f"{path}.procMount", mount, "`hostUsers` must be false to use `Unmasked`"))
    found += _seccomp(f"{path}.seccompProfile", context.get("seccompProfile"))
    if context.get("allowPrivilegeEscalation") is False:
        if context.get("privileged"):
            found.append(fields.invalid(path, context, f"{_ESCALATION}`privileged` to true"))
        if "CAP_SYS_ADMIN" in ((context.get("capabilities") or {}).get("add") or ()):
            found.append(fields.invalid(path, context, f"{_ESCALATION}`capabilities.Add` CAP_SYS_ADMIN"))
    return found + _app_armor(f"{path}.appArmorProfile", context.get("appArmorProfile"))


def pod(path: str, spec: Object) -> Causes:
    """The context of a pod, and what the host's namespaces exclude."""
    context, place = spec.get("securityContext") or {}, f"{path}.securityContext"
    found = fields.in_range(f"{place}.fsGroup", context.get("fsGroup"), 0, _MAX_ID) + _ids(place, context)
    for index, group in enumerate(context.get("supplementalGroups") or []):
        found += fields.in_range(f"{place}.supplementalGroups[{index}]", group, 0, _MAX_ID)
    if spec.get("shareProcessNamespace") and spec.get("hostPID"):
        detail = "ShareProcessNamespace and HostPID cannot both be enabled"
        found.append(fields.invalid(f"{place}.shareProcessNamespace", True, detail))
    found += windows_options(f"{place}.windowsOptions", context.get("windowsOptions"))
    found += _sysctls(place, context)
    choices = (
        ("fsGroupChangePolicy", ("Always", "OnRootMismatch")),
        ("supplementalGroupsPolicy", ("Merge", "Strict")),
        ("seLinuxChangePolicy", ("MountOption", "Recursive")),
    )
    for field, words in choices:
        if context.get(field) is not None and context[field] not in words:
            found.append(fields.not_supported(f"{place}.{field}", context[field], words))
    found += _seccomp(f"{place}.seccompProfile", context.get("seccompProfile"))
    found += _app_armor(f"{place}.appArmorProfile", context.get("appArmorProfile"))
    if spec.get("hostUsers") is False:
        for field, name in (("hostNetwork", "hostNetwork"), ("hostPID", "HostPID"), ("hostIPC", "HostIPC")):
            if spec.get(field):
                found.append(fields.forbidden(f"{path}.{name}", _WITHOUT_HOST_USERS))
    return found


def _ids(path: str, context: Object) -> Causes:
    found = fields.in_range(f"{path}.runAsUser", context.get("runAsUser"), 0, _MAX_ID)
    return found + fields.in_range(f"{path}.runAsGroup", context.get("runAsGroup"), 0, _MAX_ID)


def _sysctls(path: str, context: Object) -> Causes:
    found: Causes = []
    seen: set[str] = set()
    for place, sysctl in fields.each(context, "sysctls", path):
        name = sysctl.get("name") or ""
        if not name:
            found.append(fields.required(f"{place}.name"))
        elif len(name) > _LONGEST_SYSCTL or not re.fullmatch(_SYSCTL, name):
            detail = f"must have at most {_LONGEST_SYSCTL} characters and match regex {_SYSCTL}"
            found.append(fields.invalid(f"{place}.name", name, detail))
        elif name in seen:
            found.append(fields.duplicate(f"{place}.name", name))
        seen.add(name)
    return found


def _seccomp(path: str, profile: Object | None) -> Causes:
    if profile is None:
        return []
    kind, file = profile.get("type") or "", profile.get("localhostProfile")
    found: Causes = []
    if kind not in _PROFILES:
        found += fields.one_of(f"{path}.type", kind, _PROFILES) if kind else [
            fields.required(f"{path}.type", "type is required when seccompProfile is set")
        ]  # fmt: skip
    if kind == "Localhost" and file is None:
        found.append(fields.required(f"{path}.localhostProfile", "must be set when seccomp type is Localhost"))
    elif kind == "Localhost" and (str(file).startswith("/") or ".." in str(file).split("/")):
        detail = "must be a relative path" if str(file).startswith("/") else "must not contain '..'"
        found.append(fields.invalid(f"{path}.localhostProfile", file, detail))
    elif kind != "Localhost" and file is not None:
        detail = "can only be set when seccomp type is Localhost"
        found.append(fields.invalid(f"{path}.localhostProfile", file, detail))
    return found


def _app_armor(path: str, profile: Object | None) -> Causes:
    if profile is None:
        return []
    kind, file, place = profile.get("type") or "", profile.get("localhostProfile"), f"{path}.localhostProfile"
    if not kind:
        return [fields.required(f"{path}.type", "type is required when appArmorProfile is set")]
    if kind not in _PROFILES:
        return [fields.not_supported(f"{path}.type", kind, _PROFILES)]
    if kind != "Localhost":
        detail = "can only be set when AppArmor type is Localhost"
        return [fields.invalid(place, file, detail)] if file is not None else []
    found: Causes = []
    if file is not None and file != file.strip():
        found.append(fields.invalid(place, file, "must not be padded with whitespace"))
    elif not file:
        found.append(fields.required(place, "must be set when AppArmor type is Localhost"))
    return found + [fields.too_long(place, LONGEST)] * (len(file or "") > LONGEST)
