"""/version: the API level that is served.

Invariant: major and minor are those of the packaged schemas; two servers of the same code tell the same commit.
Source: apimachinery/pkg/version.Info.
"""

from __future__ import annotations

import hashlib
import platform
from functools import lru_cache
from pathlib import Path

import flask
import orjson

from api.registry import api_level


def info() -> dict[str, str]:
    """The version document."""
    major, _, minor = api_level().partition(".")
    return {
        "major": major,
        "minor": minor,
        "emulationMajor": major,
        "emulationMinor": minor,
        "minCompatibilityMajor": major,
        "minCompatibilityMinor": str(int(minor) - 1),
        "gitVersion": f"v{major}.{minor}.0+wherry",
        "gitCommit": _sources(),
        "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "",
        "compiler": "cpython",
        "platform": f"linux/{_ARCHITECTURES.get(platform.machine(), platform.machine())}",
    }


@lru_cache(maxsize=1)
def _sources() -> str:
    """What stands for a commit, which an installed server knows nothing of: a hash of the code that runs."""
    digest = hashlib.sha1(usedforsecurity=False)
    root = Path(__file__).parents[2]
    for path in sorted(file for part in ("api", "control") for file in (root / part).rglob("*.py")):
        digest.update(str(path.relative_to(root)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def add_view(application: flask.Flask) -> None:
    """Serve /version."""
    body = orjson.dumps(info(), option=orjson.OPT_INDENT_2)
    application.add_url_rule("/version", "version", lambda: flask.Response(body, mimetype="application/json"))
