"""Who may use an image of the node's storage that the kubelet pulled: whoever has what it was pulled with.

Without it a pod could run any private image that somebody else's pod had brought here. What was in the storage before,
the operator put there for all.

Invariant: that a pull has begun is on the disk before the image is, so that no kill in between opens an image to all;
notes that cannot be read open nothing that they could have told of.
Source: kubelet/images/pullmanager; KubeletConfiguration imagePullCredentialsVerificationPolicy.
"""

from __future__ import annotations

import hashlib
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

import orjson

from agents.kubelet.pods.image_names import repository
from agents.kubelet.runtime.interface import Credentials
from api import pki

log = logging.getLogger(__name__)

# Of a repository whose images were had without a word; no digest looks like it.
_ANYBODY = "anybody"
# As many users as are remembered of one image.
_MOST = 100


class Verification(StrEnum):
    """Of which images that are there a pod has to show that it may have them."""

    NEVER = "NeverVerify"
    PULLED = "NeverVerifyPreloadedImages"
    ALWAYS = "AlwaysVerify"


def sign(credentials: Credentials | None) -> str:
    """What is noted of a user and password."""
    if credentials is None:
        return _ANYBODY
    return hashlib.sha256(f"{credentials.username}\0{credentials.password}".encode()).hexdigest()


def is_open(policy: Verification, pulled_here: bool, signs: Iterable[str]) -> bool:
    """Whether anybody may use an image; `signs` are of those who have had it by the name that is asked for."""
    asked = {Verification.NEVER: False, Verification.PULLED: pulled_here, Verification.ALWAYS: True}[policy]
    return not asked or _ANYBODY in signs


@dataclass(slots=True)
class PulledImages:
    """The notes of one node, in a file. `images` has by id and repository the signs of those who have had an image."""

    path: Path
    policy: Verification
    lock: AbstractContextManager[object]
    images: dict[str, dict[str, list[str]]] = field(default_factory=dict)
    _interrupted: set[str] = field(default_factory=set)
    _pulling: Counter[str] = field(default_factory=Counter)
    _unreadable: bool = False

    def __post_init__(self) -> None:
        try:
            found = _read(self.path)
        except FileNotFoundError:
            return
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            log.error(
                "what is known of pulled images cannot be read in %s: %s; pods ask registries for every image until "
                "the file is removed, which lets all of them use all images that are here",
                self.path,
                error,
            )
            self._unreadable = True
            return
        self.images, self._interrupted = found

    def is_open(self, image_id: str, reference: str) -> bool:
        """Whether any pod may use an image by that reference."""
        known = self.images.get(image_id)
        pulled = known is not None or reference in self._interrupted or self._pulling[reference] > 0
        return is_open(self.policy, pulled or self._unreadable, (known or {}).get(repository(reference), ()))

    def knows(self, image_id: str, reference: str, credentials: Iterable[Credentials | None]) -> bool:
        """Whether one of these has had the image."""
        signs = self.images.get(image_id, {}).get(repository(reference), ())
        return any(sign(entry) in signs for entry in credentials)

    def begin(self, reference: str) -> None:
        """Note that an image is about to be pulled. Raises OSError."""
        with self.lock:
            self._pulling[reference] += 1
            try:
                if self._pulling[reference] == 1:
                    self._write()
            except OSError:
                self._pulling -= Counter([reference])
                raise

    def fail(self, reference: str, *, surely: bool = True) -> None:
        """Note that it was not pulled, or not as far as anybody knows."""
        with self.lock:
            if not surely:
                self._interrupted.add(reference)
            self._end(reference)

    def succeed(
        self, reference: str, image_id: str, credentials: Credentials | None, present: Callable[[], Iterable[str]]
    ) -> None:
        """Note as whom it was pulled; of images that are not `present` any more all is forgotten."""
        with self.lock:
            signs = self.images.setdefault(image_id, {}).setdefault(repository(reference), [])
            if sign(credentials) not in signs:
                signs.append(sign(credentials))
                del signs[:-_MOST]
            self._interrupted.discard(reference)
            try:
                # Asked for under the lock: what others note has been pulled before, so that it is among these.
                kept = {image_id, *present()}
                self.images = {key: found for key, found in self.images.items() if key in kept}
            finally:
                self._end(reference)

    def _end(self, reference: str) -> None:
        self._pulling -= Counter([reference])
        try:
            self._write()
        except OSError as error:
            # The pull stays noted as one of which nobody knows how it ended.
            log.warning("an image that was pulled could not be noted in %s: %s", self.path, error)

    def _write(self) -> None:
        if self._unreadable:
            return
        pulling = sorted({*self._interrupted, *self._pulling})
        pki.write_key(self.path, orjson.dumps({"images": self.images, "pulling": pulling}))


def _read(path: Path) -> tuple[dict[str, dict[str, list[str]]], set[str]]:
    """What an earlier kubelet noted: images, and pulls of which nobody knows how they ended."""
    document: Mapping[str, Any] = orjson.loads(path.read_bytes())
    images = {
        str(key): {str(name): [str(one) for one in signs] for name, signs in places.items()}
        for key, places in document["images"].items()
    }
    return images, {str(reference) for reference in document["pulling"]}
