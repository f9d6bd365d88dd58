"""Pulling images: credentials in, outcome out of Podman's progress stream.

Source: Podman 4.x `POST /libpod/images/pull`; X-Registry-Auth as in Docker's API.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from agents.kubelet.runtime.interface import Credentials, ImagePullError


def credentials_header(credentials: Credentials | None) -> dict[str, str]:
    """The header that carries a registry's user and password, if any."""
    if credentials is None:
        return {}
    content = orjson.dumps({"username": credentials.username, "password": credentials.password})
    return {"X-Registry-Auth": base64.urlsafe_b64encode(content).decode()}


def pull_result(progress: Iterable[Mapping[str, Any]]) -> str:
    """The id of the pulled image. Raises ImagePullError with the registry's words."""
    image_id = ""
    for report in progress:
        if report.get("error"):
            raise ImagePullError(str(report["error"]))
        image_id = report.get("id") or image_id
    if not image_id:
        raise ImagePullError("podman ended the pull without an image")
    return image_id
