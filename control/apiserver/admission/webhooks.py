"""MutatingAdmissionWebhook and ValidatingAdmissionWebhook: programs of others that change or refuse objects.

Invariant: every mutating webhook has answered before the first validating one is asked; a webhook that does not
answer refuses or is passed over, as its failurePolicy says.
Source: apiserver/pkg/admission/plugin/webhook/{mutating,validating}/dispatcher.go.
"""

from __future__ import annotations

import base64
import binascii
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from api import errors
from api.objects import Object
from api.patches import json_patch
from control.apiserver.admission.common import forbidden
from control.apiserver.admission.conditions import ConditionFailed, hold
from control.apiserver.admission.expressions import Expressions, values_of
from control.apiserver.admission.matching import Match
from control.apiserver.admission.pipeline import PluginBase
from control.apiserver.admission.reinvocation import rounds_of
from control.apiserver.admission.review import ACTIONS, admission_request, from_version, in_version
from control.apiserver.cache import Cache
from control.apiserver.cached import CachedObject
from control.apiserver.endpoint import Endpoint
from control.apiserver.handlers.decoding import completed, pruned
from control.apiserver.hooks.client import HookFailed, Hooks
from control.apiserver.operation import CONNECT, Operation

log = logging.getLogger(__name__)

_GROUP = "admissionregistration.k8s.io"
_DEFAULT_SECONDS = 10


@dataclass(frozen=True, slots=True)
class Webhook:
    """One webhook of a configuration; no two have the same key."""

    key: str
    declared: Mapping[str, Any]
    match: Match

    @property
    def name(self) -> str:
        """How messages name it."""
        return str(self.declared["name"])

    @property
    def fails_open(self) -> bool:
        """Whether it is passed over when it does not answer."""
        return bool(self.declared.get("failurePolicy") == "Ignore")


class Webhooks(PluginBase):
    """The webhooks of one kind of configuration, by the names of their configurations."""

    plural = ""

    def __init__(self, cache: Cache, hooks: Hooks, expressions: Expressions) -> None:
        self._hooks = hooks
        self._expressions = expressions
        self._configured: dict[str, list[Webhook]] = {}
        self._ordered: list[Webhook] = []
        cache.collection(_GROUP, self.plural).observe(self._changed)

    def handles(self, operation: Operation) -> bool:
        return bool(self._ordered)

    def _changed(self, old: CachedObject | None, new: CachedObject | None) -> None:
        found = new or old
        assert found is not None
        self._configured.pop(found.key, None)
        if new is not None:
            declared = new.object().get("webhooks") or []
            self._configured[new.key] = [
                Webhook(f"{new.key}/{index}", one, Match.from_json(one)) for index, one in enumerate(declared)
            ]
        self._ordered = [hook for _, hooks in sorted(self._configured.items()) for hook in hooks]

    def _ask(self, webhook: Webhook, operation: Operation, new: Object, old: Object | None) -> Answer | None:
        """What the webhook answers, None if it is not asked or passed over. Raises ApiError."""
        question = self._question(webhook, operation, new, old)
        return self._call(webhook, *question, operation) if question else None

    def _question(
        self, webhook: Webhook, operation: Operation, new: Object, old: Object | None
    ) -> tuple[Endpoint, Object] | None:
        """What the webhook is to be asked, None if it is not concerned. Raises ApiError."""
        endpoint = webhook.match.find(operation, new, old)
        if endpoint is None:
            return None
        uid = self._hooks.runtime.uuid()
        request = admission_request(operation, endpoint, new, old, uid)
        conditions = webhook.declared.get("matchConditions") or ()
        try:
            if conditions and not hold(self._expressions, conditions, values_of(operation, request)):
                return None
        except ConditionFailed as error:
            if webhook.fails_open:
                return None
            raise forbidden(operation, str(error)) from error
        if operation.dry_run and webhook.declared.get("sideEffects") not in ("None", "NoneOnDryRun"):
            raise errors.BadRequest(f'admission webhook "{webhook.name}" does not support dry run')
        return endpoint, request

    def _call(self, webhook: Webhook, endpoint: Endpoint, request: Object, operation: Operation) -> Answer | None:
        versions = webhook.declared.get("admissionReviewVersions") or ["v1"]
        version = next((one for one in versions if one in ("v1", "v1beta1")), "v1")
        review = {"kind": "AdmissionReview", "apiVersion": f"admission.k8s.io/{version}", "request": request}
        seconds = self._seconds(webhook, operation)
        try:
            answer = self._hooks.call(webhook.declared["clientConfig"], review, seconds)
            response = _response(answer, request["uid"], version)
        except HookFailed as error:
            if operation.deadline is not None and operation.deadline <= self._hooks.runtime.monotonic():
                raise _late() from error
            if webhook.fails_open:
                log.warning("failing open, webhook %s failed: %s", webhook.name, error)
                return None
            raise errors.internal(
                f'failed calling webhook "{webhook.name}": failed to call webhook: {error}'
            ) from error
        operation.warnings += [str(text) for text in response.get("warnings") or ()]
        noted = response.get("auditAnnotations") or {}
        operation.annotations |= {f"{webhook.name}/{key}": str(value) for key, value in noted.items()}
        if not response.get("allowed"):
            raise denied(webhook.name, response.get("status") or response.get("result") or {})
        return Answer(endpoint, response)

    def _seconds(self, webhook: Webhook, operation: Operation) -> float:
        """How long to wait for an answer: no longer than the client does. Raises Timeout."""
        seconds = float(webhook.declared.get("timeoutSeconds") or _DEFAULT_SECONDS)
        if operation.deadline is None:
            return seconds
        left = operation.deadline - self._hooks.runtime.monotonic()
        if left <= 0:
            raise _late()
        return min(seconds, left)


def _late() -> errors.Timeout:
    return errors.Timeout("Timeout: request did not complete within requested timeout - context deadline exceeded")


@dataclass(frozen=True, slots=True)
class Answer:
    """An AdmissionResponse that allows, and the endpoint in whose version its patch speaks."""

    endpoint: Endpoint
    response: Mapping[str, Any]


def _response(review: Any, uid: str, version: str) -> Mapping[str, Any]:
    """The checked AdmissionResponse. Raises HookFailed."""
    response = review.get("response") if isinstance(review, dict) else None
    if not isinstance(response, dict):
        raise HookFailed("webhook response was absent")
    if version == "v1" and (review.get("apiVersion"), review.get("kind")) != ("admission.k8s.io/v1", "AdmissionReview"):
        found = f"{review.get('apiVersion')}, Kind={review.get('kind')}"
        raise HookFailed(
            f"received invalid webhook response: expected webhook response of "
            f"admission.k8s.io/v1, Kind=AdmissionReview, got {found}"
        )
    if version == "v1" and response.get("uid") != uid:
        raise HookFailed(
            f'received invalid webhook response: expected response.uid="{uid}", got "{response.get("uid")}"'
        )
    return response


def denied(name: str, status: Mapping[str, Any]) -> errors.ApiError:
    """The refusal of a webhook, in the original's words."""
    why = status.get("message") or status.get("reason")
    by = f'admission webhook "{name}" denied the request'
    code = int(status.get("code") or 0)
    body = {**status, "message": f"{by}: {why}" if why else f"{by} without explanation"}
    refusal = errors.from_status(code if code >= 400 else 400, body)
    refusal.reason = str(status.get("reason") or "")
    return refusal


class MutatingWebhooks(Webhooks):
    """The mutating ones: one after the other."""

    plural = "mutatingwebhookconfigurations"

    def mutate(self, operation: Operation, new: Object, old: Object | None) -> Object:
        rounds = rounds_of(operation)
        calls = rounds.begin(self.plural, new)
        for webhook in self._ordered:
            if rounds.skips(calls, webhook.key):
                continue
            answer = self._ask(webhook, operation, new, old)
            if answer is None:
                continue
            changed = _patched(webhook, operation, answer, new)
            rounds.note(calls, new, changed)
            new = changed
            if webhook.declared.get("reinvocationPolicy") == "IfNeeded":
                calls.eligible.add(webhook.key)
        rounds.end(calls, new)
        return new


class ValidatingWebhooks(Webhooks):
    """The validating ones: all at the same time; of several refusals the first by name is told."""

    plural = "validatingwebhookconfigurations"

    def validate(self, operation: Operation, new: Object, old: Object | None) -> None:
        concerned = []
        for webhook in self._ordered:
            question = self._question(webhook, operation, new, old)
            if question:
                concerned.append((webhook, *question))
        refusals: list[errors.ApiError | None] = [None] * len(concerned)

        def ask(index: int) -> None:
            webhook, endpoint, request = concerned[index]
            try:
                self._call(webhook, endpoint, request, operation)
            except errors.ApiError as error:
                refusals[index] = error

        runtime = self._hooks.runtime
        others = [runtime.spawn("validating webhook", ask, index) for index in range(1, len(concerned))]
        if concerned:
            ask(0)
        for task in others:
            task.join()
        for refusal in refusals:
            if refusal is not None:
                raise refusal


def _patched(webhook: Webhook, operation: Operation, answer: Answer, new: Object) -> Object:
    """The object as the answer changes it. Raises InternalError for a patch that cannot be applied."""
    encoded = answer.response.get("patch")
    if not encoded or not new:
        return new
    before = in_version(operation, answer.endpoint, new)
    try:
        if answer.response.get("patchType", "JSONPatch") != "JSONPatch":
            raise ValueError(f'unsupported patch type "{answer.response.get("patchType")}"')
        after = json_patch.apply(before, orjson.loads(base64.b64decode(encoded)))
        if not isinstance(after, dict):
            raise ValueError("the patch does not leave an object")
    except (ValueError, binascii.Error, errors.ApiError) as error:
        raise errors.internal(f'failed calling webhook "{webhook.name}": cannot apply the patch: {error}') from error
    if operation.subresource == "scale" or operation.verb == CONNECT:
        return new
    if operation.subresource in ACTIONS:
        return after
    changed = from_version(operation, answer.endpoint, after)
    return completed(operation, pruned(operation.endpoint, changed))
