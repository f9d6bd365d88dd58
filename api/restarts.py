"""Which containers run again after they have ended: what their own rules and policy say, else the pod's policy.

The kubelet acts by it and the API server refuses statuses that contradict it.

Invariant: pure; `spec` is a pod's, `container` one of its.
Source: the original's pkg/api/v1/pod ContainerShouldRestart, AllContainersCouldRestart; core/v1 ContainerRestartRule.
"""

from __future__ import annotations

from api.objects import Object

_ALL = "RestartAllContainers"


def restarts_after(spec: Object, container: Object, exit_code: int) -> bool:
    """Whether a container that ended with that status is to run again."""
    if _action_after(container, exit_code) in ("Restart", _ALL):
        return True
    policy = container.get("restartPolicy") or spec.get("restartPolicy") or "Always"
    return bool(policy == "Always" or (policy == "OnFailure" and exit_code != 0))


def restarts_all_after(container: Object, exit_code: int) -> bool:
    """Whether the end of a container with that status is to start the whole pod over, on its node and as it is."""
    return _action_after(container, exit_code) == _ALL


def may_start_over(spec: Object) -> bool:
    """Whether some container's end could start the whole pod over."""
    return any(
        rule.get("action") == _ALL
        for field in ("initContainers", "containers")
        for container in spec.get(field) or []
        for rule in container.get("restartPolicyRules") or []
    )


def _action_after(container: Object, exit_code: int) -> str:
    """The action of the first of a container's own rules that holds for the status, or ""."""
    for rule in container.get("restartPolicyRules") or []:
        codes = rule.get("exitCodes") or {}
        listed = exit_code in (codes.get("values") or [])
        if listed is (codes.get("operator") == "In"):
            return str(rule.get("action") or "")
    return ""
