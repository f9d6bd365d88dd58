"""Names of images: whether they are any, what they mean in full, and when to pull them.

Invariant: pure; a name that is refused here never reaches a runtime.
Source: the distribution project's reference grammar; kubelet's parsers.ParseImageName; core/v1 PullPolicy.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from api.objects import Object

_LABEL = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_DOMAIN = rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?"
_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_TAG = r"[\w][\w.-]{0,127}"
_DIGEST = r"[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}"
_REFERENCE = re.compile(rf"(?:{_DOMAIN}/)?{_PART}(?:/{_PART})*(?::{_TAG})?(?:@{_DIGEST})?", re.ASCII)
_HEXADECIMAL = re.compile(r"[a-f0-9]{64}")
_LONGEST = 255


def problem(image: str) -> str:
    """Why that is no name of an image, or ""."""
    if _HEXADECIMAL.fullmatch(image):
        return f"invalid repository name ({image}), cannot specify 64-byte hexadecimal strings"
    if not _REFERENCE.fullmatch(image):
        if _REFERENCE.fullmatch(image.lower()):
            return f"invalid reference format: repository name ({repository(image)}) must be lowercase"
        return "invalid reference format"
    if len(repository(image)) > _LONGEST:
        return f"repository name must not be more than {_LONGEST} characters"
    return ""


def qualified(image: str) -> str:
    """The full reference: docker.io and library/ where no registry is named, :latest where no tag is."""
    first, slash, _ = image.partition("/")
    if not slash:
        image = f"docker.io/library/{image}"
    elif "." not in first and ":" not in first and first != "localhost":
        image = f"docker.io/{image}"
    last = image.rpartition("/")[2]
    return image if ":" in last or "@" in last else f"{image}:latest"


def repository(reference: str) -> str:
    """A reference without its tag and digest."""
    name = reference.partition("@")[0]
    head, slash, last = name.rpartition("/")
    return head + slash + last.partition(":")[0]


def digest_of(image: str, digests: Sequence[str]) -> str:
    """The digest by which an image can be had again, if it has one, and of these that of the named repository."""
    own = repository(qualified(image))
    return next((entry for entry in digests if repository(entry) == own), next(iter(digests), ""))


def pull_policy(container: Object) -> str:
    """Always, IfNotPresent or Never; the default depends on the tag."""
    named = container.get("imagePullPolicy")
    if named:
        return str(named)
    name = container.get("image", "").rpartition("/")[2]
    untagged = ":" not in name and "@" not in name
    return "Always" if untagged or name.endswith(":latest") else "IfNotPresent"
