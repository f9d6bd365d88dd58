"""Getting a container's image onto the node, by its pull policy, with back-off.

Invariant: an image that failed is asked for again only after its back-off (10 s doubling to 5 min). A pod gets an image
that is there only if it may have it (`pulled`), by whatever policy.
Source: kubelet's images.imageManager.EnsureImageExists.
"""

from __future__ import annotations

from collections.abc import Callable

from agents.kubelet.pods import backoff, spec
from agents.kubelet.pods.environment import Sources
from agents.kubelet.pods.image_names import problem, pull_policy, qualified, repository
from agents.kubelet.pods.keyring import credentials_for
from agents.kubelet.pods.performer import Recorder, StartProblem
from agents.kubelet.pods.pulled import PulledImages
from agents.kubelet.pods.view import BackOff
from agents.kubelet.runtime.interface import (
    ContainerRuntime,
    ContainerRuntimeError,
    Credentials,
    Image,
    ImagePullError,
)
from api.objects import Object, namespace_of
from api.runtime import Runtime


class ImageManager:
    """Checks, pulls and tells about it in events."""

    def __init__(
        self,
        clock: Runtime,
        runtime: ContainerRuntime,
        recorder: Recorder,
        secrets: Sources,
        pulled: PulledImages,
    ) -> None:
        self._clock = clock
        self._runtime = runtime
        self._recorder = recorder
        self._secrets = secrets
        self._pulled = pulled
        self._failed: dict[tuple[str, str], tuple[BackOff, float, str]] = {}

    def ensure(self, pod: Object, container: Object, before_waiting: Callable[[], None]) -> Image:
        """The image of a container, pulled if the policy asks for it. Raises StartProblem."""
        path = spec.field_path(pod, container["name"])
        try:
            return self._ensure(pod, container, path, before_waiting)
        except StartProblem as found:
            self._recorder.record(pod, "Warning", "Failed", f"Error: {found.reason}", path)
            raise

    def _ensure(self, pod: Object, container: Object, path: str, before_waiting: Callable[[], None]) -> Image:
        image = container.get("image", "")
        wrong = problem(image)
        if wrong:
            message = f'Failed to apply default image tag "{image}": couldn\'t parse image name "{image}": {wrong}'
            self._recorder.record(pod, "Warning", "InspectFailed", message, path)
            raise StartProblem("InvalidImageName", message)
        reference = qualified(image)
        policy = pull_policy(container)
        present = self._runtime.image(reference) if policy != "Always" else None
        if present is not None and self._may_use(pod, present, reference):
            message = f'Container image "{image}" already present on machine and can be accessed by the pod'
            self._recorder.record(pod, "Normal", "Pulled", message, path)
            return present
        if policy == "Never":
            message = f'Container image "{image}" is not present with pull policy of Never'
            self._recorder.record(pod, "Warning", "ErrImageNeverPull", message, path)
            raise StartProblem("ErrImageNeverPull", message)
        self._check_backoff(pod, container, path)
        before_waiting()
        return self._pull(pod, container, reference, path)

    def _may_use(self, pod: Object, image: Image, reference: str) -> bool:
        """Whether a pod may have an image that is there without asking its registry."""
        if self._pulled.is_open(image.id, reference):
            return True
        try:
            return self._pulled.knows(image.id, reference, self._credentials(pod, reference))
        except ImagePullError:
            return False

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
            image = self._pull_as_somebody(pod, reference)
        except ImagePullError as error:
            now = self._clock.time()
            known = self._failed.get(key)
            self._forget_old(now)
            self._failed[key] = (backoff.following(known[0] if known else None, now, now), now, str(error))
            message = f'Failed to pull image "{container["image"]}": {error}'
            self._recorder.record(pod, "Warning", "Failed", message, path)
            raise StartProblem("ErrImagePull", str(error), 2.0) from error
        self._failed.pop(key, None)
        took = f"{self._clock.monotonic() - began:.3f}s"
        message = (
            f'Successfully pulled image "{container["image"]}" in {took} ({took} including waiting). '
            f"Image size: {image.size} bytes."
        )
        self._recorder.record(pod, "Normal", "Pulled", message, path)
        return image

    def _forget_old(self, now: float) -> None:
        """Drop failures that make nobody wait any more; of a pod that goes without its image nothing else tells."""
        for key, (_, failed_at, _) in self._failed.copy().items():
            if now - failed_at > 2 * backoff.LONGEST:
                self._failed.pop(key, None)

    def _pull_as_somebody(self, pod: Object, reference: str) -> Image:
        """The image, as the first of the pod's users whom the registry lets have it. Raises ImagePullError."""
        refusals = []
        for credentials in self._credentials(pod, reference):
            try:
                self._pulled.begin(reference)
            except OSError as error:
                raise ImagePullError(f"failed to record image pull intent: {error}") from error
            try:
                image = self._runtime.pull_image(reference, credentials)
            except ImagePullError as error:
                self._pulled.fail(reference)
                refusals.append(str(error))
            except ContainerRuntimeError:
                self._pulled.fail(reference, surely=False)
                raise
            else:
                self._pulled.succeed(reference, image.id, credentials, self._present)
                return image
        distinct = list(dict.fromkeys(refusals))
        raise ImagePullError(distinct[0] if len(distinct) == 1 else f"[{', '.join(distinct)}]")

    def _present(self) -> list[str]:
        return [image.id for image in self._runtime.list_images()]

    def _credentials(self, pod: Object, reference: str) -> list[Credentials] | list[None]:
        """Whom to pull as; nobody in particular if no secret of the pod's fits. Raises ImagePullError."""
        names = [entry.get("name", "") for entry in pod["spec"].get("imagePullSecrets") or []]
        found = {name: self._secrets.get("secrets", namespace_of(pod), name) for name in names}
        missing = [name for name, secret in found.items() if secret is None]
        if missing:
            message = (
                f"Unable to retrieve some image pull secrets ({', '.join(missing)}); "
                "attempting to pull the image may not succeed."
            )
            self._recorder.record(pod, "Warning", "FailedToRetrieveImagePullSecret", message)
        secrets = [secret for secret in found.values() if secret is not None]
        try:
            return credentials_for(repository(reference), secrets) or [None]
        except ValueError as error:
            raise ImagePullError(str(error)) from error
