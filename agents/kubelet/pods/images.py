"""Getting a container's image onto the node, by its pull policy, with back-off.

Invariant: an image that failed is asked for again only after its back-off (10 s doubling to 5 min).
Source: kubelet's images.imageManager.EnsureImageExists.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable

import orjson

from agents.kubelet.pods import backoff, spec
from agents.kubelet.pods.environment import Sources
from agents.kubelet.pods.performer import Recorder, StartProblem
from agents.kubelet.pods.view import BackOff
from agents.kubelet.runtime.interface import ContainerRuntime, Credentials, Image, ImagePullError
from api.objects import Object, namespace_of
from api.runtime import Runtime


class ImageManager:
    """Checks, pulls and tells about it in events."""

    def __init__(self, clock: Runtime, runtime: ContainerRuntime, recorder: Recorder, secrets: Sources) -> None:
        self._clock = clock
        self._runtime = runtime
        self._recorder = recorder
        self._secrets = secrets
        self._failed: dict[tuple[str, str], tuple[BackOff, float, str]] = {}

    def ensure(self, pod: Object, container: Object, before_waiting: Callable[[], None]) -> Image:
        """The image of a container, pulled if the policy asks for it. Raises StartProblem."""
        reference = qualified(container.get("image", ""))
        path = spec.field_path(pod, container["name"])
        policy = pull_policy(container)
        present = self._runtime.image(reference)
        if present is not None and policy != "Always":
            message = f'Container image "{container["image"]}" already present on machine'
            self._recorder.record(pod, "Normal", "Pulled", message, path)
            return present
        if policy == "Never":
            message = f'Container image "{container["image"]}" is not present with pull policy of Never'
            self._recorder.record(pod, "Warning", "ErrImageNeverPull", message, path)
            raise StartProblem("ErrImageNeverPull", message)
        self._check_backoff(pod, container, path)
        before_waiting()
        return self._pull(pod, container, reference, path)

    def _check_backoff(self, pod: Object, container: Object, path: str) -> None:
        known = self._failed.get((pod["metadata"]["uid"], container["image"]))
        if known is None:
            return
        entry, failed_at, why = known
        wait = backoff.remaining(entry, failed_at, self._clock.time())
        if wait > 0:
            message = f'Back-off pulling image "{container["image"]}"'
            self._recorder.record(pod, "Normal", "BackOff", message, path)
            raise StartProblem("ImagePullBackOff", f"{message}: ErrImagePull: {why}", wait)

    def _pull(self, pod: Object, container: Object, reference: str, path: str) -> Image:
        key = (pod["metadata"]["uid"], container["image"])
        self._recorder.record(pod, "Normal", "Pulling", f'Pulling image "{container["image"]}"', path)
        began = self._clock.monotonic()
        try:
            image = self._runtime.pull_image(reference, self._credentials(pod, reference))
        except ImagePullError as error:
            now = self._clock.time()
            known = self._failed.get(key)
            self._failed[key] = (backoff.following(known[0] if known else None, now, now), now, str(error))
            message = f'Failed to pull image "{container["image"]}": {error}'
            self._recorder.record(pod, "Warning", "Failed", message, path)
            self._recorder.record(pod, "Warning", "Failed", "Error: ErrImagePull", path)
            raise StartProblem("ErrImagePull", str(error), 2.0) from error
        self._failed.pop(key, None)
        took = f"{self._clock.monotonic() - began:.3f}s"
        message = (
            f'Successfully pulled image "{container["image"]}" in {took} ({took} including waiting). '
            f"Image size: {image.size} bytes."
        )
        self._recorder.record(pod, "Normal", "Pulled", message, path)
        return image

    def _credentials(self, pod: Object, reference: str) -> Credentials | None:
        registry = reference.partition("/")[0]
        for entry in pod["spec"].get("imagePullSecrets") or []:
            secret = self._secrets.get("secrets", namespace_of(pod), entry.get("name", ""))
            found = credentials_in(secret, registry) if secret is not None else None
            if found is not None:
                return found
        return None


def pull_policy(container: Object) -> str:
    """Always, IfNotPresent or Never; the default depends on the tag."""
    named = container.get("imagePullPolicy")
    if named:
        return str(named)
    name = container.get("image", "").rpartition("/")[2]
    untagged = ":" not in name and "@" not in name
    return "Always" if untagged or name.endswith(":latest") else "IfNotPresent"


def qualified(image: str) -> str:
    """The full reference: docker.io and library/ where no registry is named, :latest where no tag is."""
    first, slash, _ = image.partition("/")
    if not slash:
        image = f"docker.io/library/{image}"
    elif "." not in first and ":" not in first and first != "localhost":
        image = f"docker.io/{image}"
    last = image.rpartition("/")[2]
    return image if ":" in last or "@" in last else f"{image}:latest"


def credentials_in(secret: Object, registry: str) -> Credentials | None:
    """The user and password for a registry in a secret of type kubernetes.io/dockerconfigjson."""
    try:
        config = orjson.loads(base64.b64decode((secret.get("data") or {}).get(".dockerconfigjson") or ""))
    except (binascii.Error, orjson.JSONDecodeError):
        return None
    for server, entry in (config.get("auths") or {}).items():
        host = server.removeprefix("https://").removeprefix("http://").partition("/")[0]
        if host != registry and not (registry == "docker.io" and host == "index.docker.io"):
            continue
        if entry.get("username"):
            return Credentials(entry["username"], entry.get("password", ""))
        try:
            user, _, password = base64.b64decode(entry.get("auth") or "").decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return None
        return Credentials(user, password)
    return None
