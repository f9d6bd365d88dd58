"""What pods say of the operating system that they are for: options of Windows, and what the one or the other lacks.

Source: the original's validateWindowsSecurityContextOptions, validateOS, validateLinux and validateWindows.
"""

from __future__ import annotations

import re

from api import names
from api.objects import Object
from api.validation import fields
from api.validation.fields import Causes

_LARGEST_SPEC = 64 * 1024
_LONGEST_DOMAIN, _LONGEST_USER = 255, 104
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_NETBIOS = re.compile(r'[^\\/:*?"<>|.][^\\/:*?"<>|]{0,14}')
_LABEL = "[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"
_DOMAIN = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_BAD_USER = re.compile(r'["/\\:;|=,+*?<>@\[\]]')
_NOT_OF_WINDOWS = (
    "appArmorProfile", "seLinuxOptions", "seccompProfile", "fsGroup", "fsGroupChangePolicy", "sysctls", "runAsUser",
    "runAsGroup", "supplementalGroups", "supplementalGroupsPolicy",
)  # fmt: skip
_NOT_OF_WINDOWS_CONTAINERS = (
    "appArmorProfile", "seLinuxOptions", "seccompProfile", "capabilities", "readOnlyRootFilesystem", "privileged",
    "allowPrivilegeEscalation", "procMount", "runAsUser", "runAsGroup",
)  # fmt: skip
_OF_THE_HOST = ("hostPID", "hostIPC", "shareProcessNamespace")


def windows_options(path: str, options: Object | None) -> Causes:
    """The `windowsOptions` of a pod's or a container's security context."""
    if options is None:
        return []
    found: Causes = []
    name, spec, user = (options.get(one) for one in ("gmsaCredentialSpecName", "gmsaCredentialSpec", "runAsUserName"))
    if name is not None:
        found += fields.problems(f"{path}.gmsaCredentialSpecName", name, names.dns_subdomain_problems)
    if spec == "":
        detail = "gmsaCredentialSpec cannot be an empty string"
        found.append(fields.invalid(f"{path}.gmsaCredentialSpec", spec, detail))
    elif spec is not None and len(spec.encode()) > _LARGEST_SPEC:
        detail = f"gmsaCredentialSpec size must be under {_LARGEST_SPEC // 1024} KiB"
        found.append(fields.invalid(f"{path}.gmsaCredentialSpec", spec, detail))
    if user is not None:
        place = f"{path}.runAsUserName"
        found += [fields.invalid(place, user, f"runAsUserName{problem}") for problem in _user_problems(user)]
    return found


def _user_problems(text: str) -> list[str]:
    """What is wrong with DOMAIN\\USER or USER."""
    if not text:
        return [" cannot be an empty string"]
    if _CONTROL.search(text):
        return [" cannot contain control characters"]
    if text.count("\\") > 1:
        return [" cannot contain more than one backslash"]
    domain, backslash, user = text.rpartition("\\")
    found = []
    if len(domain.encode()) > _LONGEST_DOMAIN:
        found.append(f"'s Domain length must be under {_LONGEST_DOMAIN + 1} characters")
    if backslash and not (_NETBIOS.fullmatch(domain) or _DOMAIN.fullmatch(domain)):
        found.append("'s Domain doesn't match the NetBios nor the DNS format")
    if not user:
        found.append("'s User cannot be empty")
    elif len(user.encode()) > _LONGEST_USER:
        found.append(f"'s User length must not be longer than {_LONGEST_USER} characters")
    if user and not user.strip(". "):
        found.append("'s User cannot contain only periods or spaces")
    if _BAD_USER.search(user):
        found.append("'s User cannot contain the following characters: \"/\\:;|=,+*?<>@[]")
    return found


def judged(path: str, spec: Object) -> Causes:
    """A pod that says which system it is for asks for nothing that only another one has."""
    if spec.get("os") is None:
        return []
    name = spec["os"].get("name") or ""
    found = fields.one_of(f"{path}.os.name", name, ("linux", "windows"))
    if name == "linux":
        found += _without(path, spec, ("windowsOptions",), ("windowsOptions",), "windows options", "linux")
    elif name == "windows":
        found += _without(path, spec, _NOT_OF_WINDOWS, _NOT_OF_WINDOWS_CONTAINERS, "", "windows")
        for field in _OF_THE_HOST:
            if spec.get(field):
                found.append(fields.forbidden(f"{path}.{field}", "cannot be set for a windows pod"))
    return found


def _without(
    path: str, spec: Object, of_pods: tuple[str, ...], of_containers: tuple[str, ...], what: str, name: str
) -> Causes:
    detail = f"{what} cannot be set for a {name} pod".lstrip()
    places = [(path, spec, of_pods)]
    for field in ("initContainers", "containers", "ephemeralContainers"):
        places += [(place, container, of_containers) for place, container in fields.each(spec, field, path)]
    found: Causes = []
    for place, holder, words in places:
        context = holder.get("securityContext") or {}
        for word in words:
            if context.get(word) not in (None, []):
                found.append(fields.forbidden(f"{place}.securityContext.{word}", detail))
    return found
