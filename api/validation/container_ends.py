"""Rules for how a container ends and what comes then: its restart policy, the rules of that, and the signal to stop.

Source: the original's validateContainerRestartPolicy and validateStopSignal; "Container restart rules" and "Stop
signals" in the documentation.
"""

from __future__ import annotations

from api.objects import Object
from api.validation import fields
from api.validation.fields import Causes

_POLICIES = ("Always", "Never", "OnFailure")
_ACTIONS = ("Restart", "RestartAllContainers")
_OPERATORS = ("In", "NotIn")
_MOST_RULES, _MOST_CODES = 20, 255
_WINDOWS = ("SIGKILL", "SIGTERM")
_NAMES = (
    "ABRT ALRM BUS CHLD CLD CONT FPE HUP ILL INT IO IOT KILL PIPE POLL PROF PWR QUIT SEGV STKFLT STOP SYS TERM TRAP "
    "TSTP TTIN TTOU URG USR1 USR2 VTALRM WINCH XCPU XFSZ RTMIN RTMAX"
)
_REAL_TIME = [*(f"RTMIN+{number}" for number in range(1, 16)), *(f"RTMAX-{number}" for number in range(1, 15))]
_LINUX = tuple(sorted(f"SIG{name}" for name in [*_NAMES.split(), *_REAL_TIME]))


def restarts(path: str, container: Object) -> Causes:
    """A container's own restart policy and the rules that go before it."""
    policy, rules = container.get("restartPolicy"), container.get("restartPolicyRules") or []
    found: Causes = []
    if policy is not None and policy not in _POLICIES:
        found.append(fields.not_supported(f"{path}.restartPolicy", policy, _POLICIES))
    if rules and policy is None:
        detail = "must specify restartPolicy when restart rules are used"
        found.append(fields.required(f"{path}.restartPolicy", detail))
    if len(rules) > _MOST_RULES:
        found.append(fields.too_many(f"{path}.restartPolicyRules", len(rules), _MOST_RULES))
    for place, rule in fields.each(container, "restartPolicyRules", path):
        if rule.get("action") not in _ACTIONS:
            found.append(fields.not_supported(f"{place}.action", rule.get("action") or "", _ACTIONS))
        codes = rule.get("exitCodes")
        if codes is None:
            found.append(fields.required(f"{place}.exitCodes", "must be specified"))
            continue
        if codes.get("operator") not in _OPERATORS:
            found.append(fields.not_supported(f"{place}.exitCodes.operator", codes.get("operator") or "", _OPERATORS))
        values = codes.get("values") or []
        if len(values) > _MOST_CODES:
            found.append(fields.too_many(f"{place}.exitCodes.values", len(values), _MOST_CODES))
    return found


def stop_signal(path: str, lifecycle: Object, spec: Object) -> Causes:
    """The signal is one of the operating system that the pod names."""
    signal, system = lifecycle.get("stopSignal"), (spec.get("os") or {}).get("name")
    if signal is None:
        return []
    place = f"{path}.stopSignal"
    if not system:
        return [fields.forbidden(place, "may not be set for containers with empty `spec.os.name`")]
    known = _WINDOWS if system == "windows" else _LINUX
    return [] if signal in known else [fields.not_supported(place, signal, known)]
