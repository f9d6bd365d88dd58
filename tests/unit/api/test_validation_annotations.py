"""Annotations of pods that say something of them, new and changed."""

from __future__ import annotations

from typing import Any

import pytest
from test_validation import CONTAINER, made, sentences

from api.objects import copy

pytestmark = pytest.mark.unit

ARMOR = "container.apparmor.security.beta.kubernetes.io/"
SECCOMP = "seccomp.security.alpha.kubernetes.io/pod"
COST = "controller.kubernetes.io/pod-deletion-cost"
PLACE = "spec.containers[0].securityContext"


def pod(annotations: dict[str, str], context: dict[str, Any] | None = None, **spec: Any) -> Any:
    container = CONTAINER | ({"securityContext": context} if context else {})

    def change(obj: Any) -> None:
        obj["metadata"]["annotations"] = annotations
        obj["spec"].update(containers=[container], **spec)

    return made("v1/Pod", change)


def armored(kind: str, file: str | None = None) -> dict[str, Any]:
    return {"appArmorProfile": {"type": kind} | ({"localhostProfile": file} if file else {})}


NEW: list[tuple[dict[str, str], dict[str, Any] | None, list[str]]] = [
    ({f"{ARMOR}c": "runtime/default"}, None, []),
    ({f"{ARMOR}c": ""}, None, []),
    ({f"{ARMOR}c": "bad"}, None,
     [f'metadata.annotations[{ARMOR}c]: Invalid value: "bad": invalid AppArmor profile name: "bad"']),
    ({f"{ARMOR}d": "unconfined"}, None,
     [f'metadata.annotations[{ARMOR}d]: Invalid value: "d": container not found']),
    ({f"{ARMOR}c": "localhost/p"}, armored("Localhost", "p"), []),
    ({f"{ARMOR}c": "localhost/q"}, armored("Localhost", "p"),
     [f"{PLACE}.appArmorProfile.localhostProfile: Forbidden: apparmor profile in annotation and field must match"]),
    ({f"{ARMOR}c": "unconfined"}, armored("RuntimeDefault"),
     [f"{PLACE}.appArmorProfile.type: Forbidden: apparmor type in annotation and field must match"]),
    ({f"{ARMOR}c": "unconfined"}, armored("Localhost", "p"),
     [f"{PLACE}.appArmorProfile.type: Forbidden: apparmor type in annotation and field must match"]),
    ({SECCOMP: "odd"}, None,
     [f'metadata.annotations.{SECCOMP}: Invalid value: "odd": must be a valid seccomp profile']),
    ({"container.seccomp.security.alpha.kubernetes.io/c": "docker/default"},
     {"seccompProfile": {"type": "Unconfined"}},
     [f"{PLACE}.seccompProfile.type: Forbidden: seccomp type in annotation and field must match"]),
    ({COST: "-5"}, None, []),
    *(({COST: text}, None, [f'metadata.annotations[{COST}]: Invalid value: "{text}": must be a 32bit integer'])
      for text in ("+1", "01", "x", "", "2147483648", "1" * 5000)),
]  # fmt: skip


@pytest.mark.parametrize(("annotations", "context", "wanted"), NEW, ids=lambda value: str(value)[-60:])
def test_annotations_are_judged(annotations: dict[str, str], context: dict[str, Any], wanted: list[str]) -> None:
    assert sentences(pod(annotations, context)) == wanted


def test_a_pod_of_windows_may_say_anything_of_app_armor() -> None:
    annotations = {f"{ARMOR}c": "unconfined"}
    assert not [one for one in sentences(pod(annotations, armored("RuntimeDefault"), os={"name": "windows"}))
                if "must match" in one]  # fmt: skip


@pytest.mark.parametrize(
    ("before", "now", "verb"),
    [({}, {f"{ARMOR}c": ""}, "add"), ({f"{ARMOR}c": ""}, {}, "remove or update"),
     ({f"{ARMOR}c": ""}, {f"{ARMOR}c": "unconfined"}, "remove or update")],
)  # fmt: skip
def test_what_confines_a_pod_is_not_changed(before: dict[str, str], now: dict[str, str], verb: str) -> None:
    old = pod(before)
    new = copy(old)
    new["metadata"]["annotations"] = now
    assert sentences(new, old) == [f"metadata.annotations[{ARMOR}c]: Forbidden: may not {verb} AppArmor annotations"]


def test_templates_are_held_to_the_same() -> None:
    def change(obj: Any) -> None:
        obj["spec"]["template"]["metadata"]["annotations"] = {f"{ARMOR}none": "x"}

    place = f"spec.template.annotations[{ARMOR}none]"
    assert [one.partition(": ")[0] for one in sentences(made("apps/v1/Deployment", change))] == [place, place]
