"""/version: the API level that is served.

Invariant: major and minor are those of the packaged schemas.
Source: apimachinery/pkg/version.Info.
"""

from __future__ import annotations

import platform

import flask
import orjson

from api.registry import api_level


def info() -> dict[str, str]:
    """The version document."""
    major, _, minor = api_level().partition(".")
    return {
        "major": major,
        "minor": minor,
        "gitVersion": f"v{major}.{minor}.0+wherry",
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "",
        "compiler": "cpython",
        "platform": f"linux/{_ARCHITECTURES.get(platform.machine(), platform.machine())}",
    }


_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def add_view(application: flask.Flask) -> None:
    """Serve /version."""
    body = orjson.dumps(info(), option=orjson.OPT_INDENT_2)
    application.add_url_rule("/version", "version", lambda: flask.Response(body, mimetype="application/json"))
