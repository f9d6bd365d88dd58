"""The environment of a container: services, config maps and secrets, fields, literals, and `$(VAR)`.

Invariant: pure; whoever asks for a config map or secret gets it from `Sources`.
Source: kubelet's makeEnvironmentVariables; envvars.FromServices; third_party expansion.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from agents.kubelet.pods.performer import StartProblem
from agents.kubelet.pods.references import BadReference, field_value, resource_value
from agents.kubelet.pods.variable_files import value_in
from api.names import environment_variable_problems
from api.objects import Object, name_of, namespace_of

_CONFIG_ERROR = "CreateContainerConfigError"


class Sources(Protocol):
    """Config maps and secrets of the API."""

    def get(self, plural: str, namespace: str, name: str) -> Object | None:
        """The object, or None if it does not exist. Raises ApiError or TransportError."""

    def list(self, plural: str) -> Sequence[Object]:
        """Every object of a kind without namespaces. Raises ApiError or TransportError."""


# The text of a file in a volume of the pod, by the volume's name and the path in it. Raises OSError.
Files = Callable[[str, str], str]


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a pod's environment may refer to beside its own spec."""

    addresses: Sequence[str] = ()
    host_addresses: Sequence[str] = ()
    services: Sequence[Object] = ()
    allocatable: Mapping[str, str] = field(default_factory=dict)


def environment(pod: Object, container: Object, sources: Sources, around: Surroundings, files: Files) -> dict[str, str]:
    """Names and values. Raises StartProblem if something referred to is missing."""
    services = service_variables(pod, around.services)
    found: dict[str, str] = {}
    for entry in container.get("envFrom") or []:
        found |= _from_source(pod, entry, sources)
    declared = dict(found)
    for entry in container.get("env") or []:
        name = entry["name"]
        if entry.get("valueFrom"):
            value = _referred(pod, container, entry, sources, around, files)
            if value is None:
                continue
        else:
            value = expand(entry.get("value") or "", declared, services)
        found[name] = declared[name] = value
    return services | found


def expand_all(text: str, variables: Mapping[str, str]) -> str:
    """`expand`, but a name without a value is refused: what comes of it is a path. Raises StartProblem.

    Source: kubelet/container ExpandContainerVolumeMounts.
    """
    unknown: set[str] = set()
    expanded = expand(text, {name: value for name, value in variables.items() if value}, unknown=unknown)
    if unknown:
        raise StartProblem(_CONFIG_ERROR, f"missing value for {', '.join(sorted(unknown))}")
    return expanded


def expand(text: str, *mappings: Mapping[str, str], unknown: set[str] | None = None) -> str:
    """Replace `$(NAME)`; `$$` is a dollar sign, and a name nobody knows stays as it is written.

    Such names are added to `unknown`.
    """
    out, position = [], 0
    while position < len(text):
        dollar = text.find("$", position)
        if dollar < 0 or dollar + 1 >= len(text):
            break
        out.append(text[position:dollar])
        follower = text[dollar + 1]
        closing = text.find(")", dollar + 2) if follower == "(" else -1
        if closing >= 0:
            name = text[dollar + 2 : closing]
            known = next((mapping[name] for mapping in mappings if name in mapping), None)
            if known is None and unknown is not None:
                unknown.add(name)
            out.append(f"$({name})" if known is None else known)
            position = closing + 1
        elif follower == "(":
            out.append("$(")
            position = dollar + 2
        else:
            out.append("$" if follower == "$" else f"${follower}")
            position = dollar + 2
    return "".join(out) + text[position:]


def service_variables(pod: Object, services: Iterable[Object]) -> dict[str, str]:
    """Variables of the services that a pod may see: those of its namespace, and `kubernetes` in default."""
    links = pod["spec"].get("enableServiceLinks", True)
    chosen: dict[str, Object] = {}
    for service in services:
        if service["spec"].get("clusterIP") in (None, "", "None"):
            continue
        master = namespace_of(service) == "default" and name_of(service) == "kubernetes"
        if master and name_of(service) not in chosen:
            chosen[name_of(service)] = service
        if links and namespace_of(service) == namespace_of(pod):
            chosen[name_of(service)] = service
    found: dict[str, str] = {}
    for name in sorted(chosen):
        found |= _variables_of(chosen[name])
    return found


def _variables_of(service: Object) -> dict[str, str]:
    address = service["spec"]["clusterIP"]
    ports = service["spec"].get("ports") or []
    if not ports:
        return {}
    prefix = name_of(service).upper().replace("-", "_")
    shown = f"[{address}]" if ":" in address else address
    found = {f"{prefix}_SERVICE_HOST": address, f"{prefix}_SERVICE_PORT": str(ports[0]["port"])}
    for index, port in enumerate(ports):
        number, protocol = str(port["port"]), port.get("protocol") or "TCP"
        if port.get("name"):
            found[f"{prefix}_SERVICE_PORT_{port['name'].upper().replace('-', '_')}"] = number
        url = f"{protocol.lower()}://{shown}:{number}"
        link = f"{prefix}_PORT_{number}_{protocol.upper()}"
        if index == 0:
            found[f"{prefix}_PORT"] = url
        found |= {
            link: url,
            f"{link}_PROTO": protocol.lower(),
            f"{link}_PORT": number,
            f"{link}_ADDR": address,
        }
    return found


def _from_source(pod: Object, entry: Object, sources: Sources) -> dict[str, str]:
    kind, plural = ("configMapRef", "configmaps") if entry.get("configMapRef") else ("secretRef", "secrets")
    reference = entry.get(kind) or {}
    found = sources.get(plural, namespace_of(pod), reference.get("name", ""))
    if found is None:
        if reference.get("optional"):
            return {}
        raise StartProblem(_CONFIG_ERROR, f'{plural[:-1]} "{reference.get("name")}" not found')
    prefix = entry.get("prefix") or ""
    values = {prefix + key: text for key, text in texts(found).items()}
    return {name: value for name, value in values.items() if not environment_variable_problems(name)}


def texts(found: Object) -> dict[str, str]:
    """The data of a config map or secret as text."""
    data = found.get("data") or {}
    if found.get("kind") == "Secret":
        return {key: base64.b64decode(value).decode("utf-8", "replace") for key, value in data.items()}
    return {key: str(value) for key, value in data.items()}


def _referred(
    pod: Object, container: Object, entry: Object, sources: Sources, around: Surroundings, files: Files
) -> str | None:
    """The value that `valueFrom` means; None if it is optional and not there."""
    origin = entry["valueFrom"]
    try:
        if origin.get("fieldRef"):
            return field_value(pod, origin["fieldRef"]["fieldPath"], around.addresses, around.host_addresses)
        if origin.get("resourceFieldRef"):
            return resource_value(pod, container, origin["resourceFieldRef"], around.allocatable)
    except BadReference as error:
        raise StartProblem(_CONFIG_ERROR, str(error)) from error
    if origin.get("configMapKeyRef"):
        return _key_of_object(pod, "configmaps", "ConfigMap", origin["configMapKeyRef"], sources)
    if origin.get("secretKeyRef"):
        return _key_of_object(pod, "secrets", "Secret", origin["secretKeyRef"], sources)
    if origin.get("fileKeyRef"):
        return _key_of_file(origin["fileKeyRef"], files)
    raise StartProblem(_CONFIG_ERROR, f"environment variable {entry['name']} has an unknown source")


def _key_of_file(reference: Object, files: Files) -> str | None:
    """The value that a container has written into a file of a volume; None if it is optional and not there."""
    path, key, optional = reference["path"], reference["key"], bool(reference.get("optional"))
    try:
        value = value_in(files(reference["volumeName"], path), key)
    except FileNotFoundError as error:
        if optional:
            return None
        raise StartProblem(_CONFIG_ERROR, "couldn't parse env file") from error
    except (OSError, ValueError) as error:
        raise StartProblem(_CONFIG_ERROR, "couldn't parse env file") from error
    if value is None and not optional:
        raise StartProblem(_CONFIG_ERROR, f'environment variable key "{key}" not found in file "{path}"')
    return value


def _key_of_object(pod: Object, plural: str, kind: str, reference: Object, sources: Sources) -> str | None:
    name, key = reference.get("name", ""), reference["key"]
    optional = bool(reference.get("optional"))
    found = sources.get(plural, namespace_of(pod), name)
    if found is None:
        if optional:
            return None
        raise StartProblem(_CONFIG_ERROR, f'{plural[:-1]} "{name}" not found')
    value = texts(found).get(key)
    if value is None and not optional:
        raise StartProblem(_CONFIG_ERROR, f"couldn't find key {key} in {kind} {namespace_of(pod)}/{name}")
    return value
