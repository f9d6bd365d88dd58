"""Certificates say who their holder is, are trusted by the authority alone, and are kept while they are good."""

from __future__ import annotations

import os
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from simulation.virtual_runtime import VirtualRuntime

from api import kubeconfig, pki
from api.transport import Request, TransportError
from control.cli import pki as pki_command
from control.cli.errors import CommandError

pytestmark = pytest.mark.unit

NOW = 1_750_000_000.0


def request_for(directory: Path, *names: str) -> pki_command.Request:
    return pki_command.Request(directory / "pki", directory, "https://10.0.0.1:6443", names)


def test_a_signed_request_keeps_its_subject_groups_and_names() -> None:
    authority = pki.new_authority("ca", NOW)
    subject = pki.Subject("system:node:n1", ("system:nodes",))
    request = pki.new_request(pki.new_key(), subject, ("n1", "10.0.0.5"))
    assert pki.request_subject(request) == (subject, ("n1", "10.0.0.5"))
    certificate = x509.load_pem_x509_certificate(pki.sign(authority, request, NOW, seconds=3600, server=True))
    certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(authority.certificate))
    assert pki.certificate_subject(certificate.public_bytes(pki.serialization.Encoding.DER)) == subject
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [str(name.value) for name in names] == ["n1", "10.0.0.5"]


def test_a_request_signed_by_another_key_is_refused() -> None:
    request = bytearray(pki.new_request(pki.new_key(), pki.Subject("a")))
    other = pki.new_request(pki.new_key(), pki.Subject("a"))
    lines, other_lines = bytes(request).splitlines(), other.splitlines()
    lines[-2] = other_lines[-2]
    with pytest.raises(ValueError, match=r"."):
        pki.sign(pki.new_authority("ca", NOW), b"\n".join(lines), NOW, seconds=60)


def test_secret_files_are_for_their_owner_only(tmp_path: Path) -> None:
    pki.write_key(tmp_path / "deep" / "x.key", b"secret")
    assert (tmp_path / "deep" / "x.key").stat().st_mode & 0o777 == 0o600


def test_a_second_initialization_changes_nothing(tmp_path: Path) -> None:
    runtime = VirtualRuntime()
    assert "ca.crt" in pki_command.initialize(request_for(tmp_path), runtime)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert pki_command.initialize(request_for(tmp_path), runtime) == []
    assert before == {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}


def test_a_new_server_name_renews_only_the_serving_certificate(tmp_path: Path) -> None:
    runtime = VirtualRuntime()
    pki_command.initialize(request_for(tmp_path), runtime)
    assert pki_command.initialize(request_for(tmp_path, "192.168.56.10"), runtime) == ["apiserver.crt"]


def test_certificates_near_their_end_are_renewed_and_the_authority_is_not(tmp_path: Path) -> None:
    runtime = VirtualRuntime()
    pki_command.initialize(request_for(tmp_path), runtime)
    runtime.now = 340 * 86400.0
    made = pki_command.initialize(request_for(tmp_path), runtime)
    assert "apiserver.crt" in made
    assert "admin.kubeconfig" in made
    assert "ca.crt" not in made


def test_an_authority_without_its_key_is_never_replaced(tmp_path: Path) -> None:
    pki_command.initialize(request_for(tmp_path), VirtualRuntime())
    (tmp_path / "pki" / "ca.key").unlink()
    with pytest.raises(CommandError, match=r"ca\.crt is there but .*ca\.key is not"):
        pki_command.initialize(request_for(tmp_path), VirtualRuntime())


def test_a_rendered_kubeconfig_is_loadable(tmp_path: Path) -> None:
    pki_command.initialize(request_for(tmp_path), VirtualRuntime())
    path = tmp_path / "admin.kubeconfig"
    assert kubeconfig.load(path).server == "https://10.0.0.1:6443"
    certificate, _ = kubeconfig.embedded_certificate(path)
    der = ssl.PEM_cert_to_DER_cert(certificate.decode())
    assert pki.certificate_subject(der) == pki.Subject("kubernetes-admin", ("system:masters",))


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (None, "cannot be read"),
        ("{", "malformed"),
        ("[]", "malformed"),
        ("current-context: x\ncontexts: []\n", "malformed"),
    ],
)
def test_a_bad_kubeconfig_is_named_in_one_sentence(tmp_path: Path, content: str | None, complaint: str) -> None:
    path = tmp_path / "config"
    if content is not None:
        path.write_text(content)
    with pytest.raises(kubeconfig.KubeconfigError, match=complaint):
        kubeconfig.load(path)


def test_a_renewed_certificate_that_a_kubeconfig_names_is_taken_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority, runtime = pki.new_authority("ca", NOW), VirtualRuntime()
    config, file = tmp_path / "kubeconfig", tmp_path / "own.pem"

    def issue(moment: int) -> None:
        pair = pki.issue(authority, pki.Subject("a"), NOW, seconds=3600)
        pki.write_key(file, pair.certificate + pair.key)
        os.utime(file, (moment, moment))

    issue(1)
    rendered = kubeconfig.render(
        "https://127.0.0.1:1", authority.certificate, "a", certificate_file=str(file), key_file=str(file)
    )
    pki.write_key(config, rendered)
    loaded: list[object] = []
    load = kubeconfig.load
    monkeypatch.setattr(kubeconfig, "load", lambda path: loaded.append(load(path)) or loaded[-1])
    transport = kubeconfig.FollowingTransport(config, runtime, seconds=0.0)
    for moment, expected in ((1, 1), (2, 2), (2, 2)):
        issue(moment)
        with pytest.raises(TransportError):
            transport.send(Request("GET", "/"))
        assert len(loaded) == expected
    for content, expected in ((b"half of ", 2), (rendered, 3)):
        pki.write_key(config, content)
        with pytest.raises(TransportError):
            transport.send(Request("GET", "/"))
        assert len(loaded) == expected
