"""A refusal reads the same on both ends of the wire."""

from __future__ import annotations

import pytest

from api import errors

pytestmark = pytest.mark.unit

CASES = [
    (errors.not_found("deployments", "apps", "web"), 404, "NotFound", 'deployments.apps "web" not found'),
    (errors.already_exists("pods", "", "p"), 409, "AlreadyExists", 'pods "p" already exists'),
    (
        errors.invalid("Pod", "", "p", [errors.Cause("FieldValueRequired", "Required value", "spec.containers")]),
        422,
        "Invalid",
        'Pod "p" is invalid: spec.containers: Required value',
    ),
    (errors.Expired("too old"), 410, "Expired", "too old"),
    (errors.TooManyRequests("later", retry_after_seconds=3), 429, "TooManyRequests", "later"),
]


@pytest.mark.parametrize(("error", "code", "reason", "message"), CASES)
def test_status_and_back(error: errors.ApiError, code: int, reason: str, message: str) -> None:
    body = error.status()
    assert (body["code"], body["reason"], body["message"], body["status"]) == (code, reason, message, "Failure")
    again = errors.from_status(code, body)
    assert type(again) is type(error)
    assert again.status() == body


def test_several_causes_are_listed_in_brackets() -> None:
    causes = [errors.Cause("A", "Required value", "spec.a"), errors.Cause("B", "Required value", "spec.b")]
    message = errors.invalid("Deployment", "apps", "d", causes).message
    assert message == 'Deployment.apps "d" is invalid: [spec.a: Required value, spec.b: Required value]'


@pytest.mark.parametrize(
    ("code", "expected"), [(409, errors.Conflict), (410, errors.Expired), (418, errors.InternalError)]
)
def test_a_body_without_a_reason_falls_back_to_the_code(code: int, expected: type[errors.ApiError]) -> None:
    assert type(errors.from_status(code, {})) is expected
