"""What AppArmor's annotations of pods mean, which fields have replaced.

Invariant: every annotation that can be read becomes exactly one profile.
Source: pkg/api/pod/util.go (ApparmorFieldForAnnotation).
"""

from __future__ import annotations

from api.objects import Object

ANNOTATION = "container.apparmor.security.beta.kubernetes.io/"
LOCALHOST = "localhost/"
PLAIN = {"runtime/default": "RuntimeDefault", "unconfined": "Unconfined"}
LONGEST = 4095


def profile_of(annotation: str) -> Object | None:
    """The field that says what an annotation says; None if no valid one does."""
    if annotation in PLAIN:
        return {"type": PLAIN[annotation]}
    file = annotation.removeprefix(LOCALHOST)
    if file == annotation or not file or file != file.strip() or len(file) > LONGEST:
        return None
    return {"type": "Localhost", "localhostProfile": file}
