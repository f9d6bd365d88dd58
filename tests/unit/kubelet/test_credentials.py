"""The tasks that keep a node's certificates go on whatever happens to a file meanwhile."""

from __future__ import annotations

import base64
import errno
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn, cast

import pytest

from agents.kubelet import certificates, credentials
from agents.kubelet.credentials import Credentials, CredentialsSettings
from api import kubeconfig, pki
from api.client import Client
from api.runtime import SystemRuntime

pytestmark = pytest.mark.unit

AUTHORITY = pki.new_authority("ca", 0.0)


class Waits(threading.Event):
    """Instead of each wait it does what is next, and comes when nothing is."""

    def __init__(self, *steps: Callable[[], object]) -> None:
        super().__init__()
        self.steps = list(steps)
        self.waited: list[float | None] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.waited.append(timeout)
        if self.steps:
            self.steps.pop(0)()
        else:
            self.set()
        return self.is_set()


def credentials_in(directory: Path) -> Credentials:
    settings = CredentialsSettings("n", directory / "kubelet", None, directory / "pki", directory / "proxy")
    return Credentials(settings, SystemRuntime())


def put(wanted: certificates.Certificate, begun: float) -> None:
    pair = pki.issue(AUTHORITY, wanted.subject, SystemRuntime().time() - begun, seconds=6000)
    pki.write_key(wanted.file, pair.certificate + pair.key)


def write_kubeconfig(path: Path) -> None:
    pki.write_key(path, kubeconfig.render("https://a:1", AUTHORITY.certificate, "n", token="t"))


def test_the_proxys_kubeconfig_is_written_once_the_kubelets_can_be_read(tmp_path: Path) -> None:
    put(certificates.of_proxy(tmp_path / "pki"), begun=0)
    (tmp_path / "kubelet").write_text("half of ")
    credentials_in(tmp_path).keep_proxy(Waits(lambda: write_kubeconfig(tmp_path / "kubelet")))
    assert kubeconfig.authority(tmp_path / "proxy") == ("https://a:1", AUTHORITY.certificate)


def test_a_certificate_that_could_not_be_stored_is_asked_for_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*arguments: object) -> NoReturn:
        asked.append(arguments)
        raise OSError(errno.ENOSPC, "No space left on device")

    asked: list[object] = []
    write_kubeconfig(tmp_path / "kubelet")
    monkeypatch.setattr(credentials, "obtain", fails)
    kept = credentials_in(tmp_path)
    kept.client(Waits())
    for keep, wanted in (
        (kept.keep, certificates.of_client(tmp_path / "pki", "n")),
        (kept.keep_proxy, certificates.of_proxy(tmp_path / "pki")),
    ):
        asked.clear()
        put(wanted, begun=5900)
        stop = Waits(*[lambda: None] * 3)
        keep(stop)
        # Once in a minute, while there still is a good one.
        assert (len(asked), stop.waited) == (2, [2.0, 60.0] * 2)
    assert kubeconfig.authority(tmp_path / "proxy") == ("https://a:1", AUTHORITY.certificate)


def test_a_request_that_nobody_answers_is_looked_at_less_and_less(tmp_path: Path) -> None:
    class Silent:
        def create(self, plural: str, body: dict[str, Any]) -> None:
            return None

        def get(self, plural: str, name: str) -> dict[str, Any]:
            return {}

    stop = Waits(*[lambda: None] * 20)
    assert not certificates.obtain(cast(Client, Silent()), SystemRuntime(), certificates.of_proxy(tmp_path), stop)
    assert stop.waited == sorted(stop.waited) and (stop.waited[0], stop.waited[-1]) == (1.0, 10.0)


def test_two_that_ask_by_one_key_both_have_the_certificate(tmp_path: Path) -> None:
    wanted, begun, runtime = certificates.of_proxy(tmp_path), list[bytes](), SystemRuntime()

    class Signing:
        """An API that signs at once, and lets somebody else ask before it answers the first."""

        def create(self, plural: str, body: dict[str, Any]) -> None:
            self.request = base64.b64decode(body["spec"]["request"])

        def get(self, plural: str, name: str) -> dict[str, Any]:
            begun.append(wanted.pending_key.read_bytes())
            if len(begun) == 1:
                certificates.obtain(cast(Client, self), runtime, wanted, Waits())
            signed = pki.sign(AUTHORITY, self.request, runtime.time(), seconds=600)
            return {"status": {"certificate": base64.b64encode(signed).decode()}}

    assert certificates.obtain(cast(Client, Signing()), runtime, wanted, Waits())
    assert begun[0] == begun[1] and wanted.is_valid(runtime.time())
