"""The environment of containers: where values come from and what is said if they do not come."""

from __future__ import annotations

import base64
import re
import ssl
from typing import Any

import pytest

from agents.kubelet.pods.environment import Surroundings, environment, expand, service_variables
from agents.kubelet.pods.hosts import DnsSettings, resolver, resolver_warnings
from agents.kubelet.pods.performer import StartProblem
from agents.kubelet.pods.references import field_value
from agents.kubelet.runtime.cri_spec import sandbox_config
from agents.kubelet.runtime.interface import PodIdentity, SandboxSpec
from agents.kubelet.volumes.payload import Collector, File, VolumeError

pytestmark = pytest.mark.unit

POD: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {
        "name": "web",
        "namespace": "shop",
        "uid": "u1",
        "labels": {"app": "web"},
        "annotations": {"note": 'say "hi"'},
    },
    "spec": {"nodeName": "node1", "serviceAccountName": "clerk", "containers": []},
}
AROUND = Surroundings(("10.244.1.5",), ("192.0.2.1",), allocatable={"cpu": "2", "memory": "4Gi"})


def bundle(name: str, signer: str, *contents: bytes) -> dict[str, Any]:
    """A trust bundle; what stands in place of certificates is not looked into."""
    text = "remark\n" + "".join(ssl.DER_cert_to_PEM_cert(content) for content in contents)
    return {
        "metadata": {"name": name, "labels": {"name": name}},
        "spec": {"signerName": signer, "trustBundle": text},
    }


BUNDLES = {
    "plain": bundle("plain", "", b"two", b"one", b"two"),
    "s:a": bundle("s:a", "example.com/s", b"three", b"one"),
    "s:b": bundle("s:b", "example.com/s", b"four"),
}


class Stored:
    """Config maps and secrets in a dictionary."""

    objects = {
        ("configmaps", "shop", "settings"): {"kind": "ConfigMap", "data": {"color": "red", "not a name=": "x"}},
        ("secrets", "shop", "keys"): {"kind": "Secret", "data": {"token": base64.b64encode(b"abc").decode()}},
    }

    def get(self, plural: str, namespace: str, name: str) -> dict[str, Any] | None:
        return self.objects.get((plural, namespace, name))

    def list(self, plural: str) -> list[dict[str, Any]]:
        return [BUNDLES[name] for name in sorted(BUNDLES)] if plural.startswith("clustertrustbundles") else []


WRITTEN = {
    "good": "# by the first container\n\nQUOTED='two\nlines' # said\nBARE=one two  \nEMPTY=\nQUOTED='later'\n",
    "bad": "GOOD=1\nSPACED = 'x'\n",
}


def read(volume: str, path: str) -> str:
    if volume != "files" or path not in WRITTEN:
        raise FileNotFoundError(path)
    return WRITTEN[path]


def values(*env: dict[str, Any], env_from: list[dict[str, Any]] | None = None, **container: Any) -> dict[str, str]:
    wanted = {"name": "app", "env": list(env), "envFrom": env_from or [], **container}
    return environment(POD, wanted, Stored(), AROUND, read)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        ("$(A)", "one"),
        ("x$(A)y$(B)z", "xoneytwoz"),
        ("$$(A)", "$(A)"),
        ("$$$(A)", "$one"),
        ("$(MISSING)", "$(MISSING)"),
        ("$(A", "$(A"),
        ("$A $", "$A $"),
        ("100%$$", "100%$"),
        ("$($(A))", "$($(A))"),
    ],
)
def test_expansion(text: str, expected: str) -> None:
    assert expand(text, {"A": "one", "B": "two"}) == expected


def test_variables_refer_to_those_before_them() -> None:
    found = values({"name": "A", "value": "1"}, {"name": "B", "value": "$(A)$(C)"}, {"name": "C", "value": "3"})
    assert found == {"A": "1", "B": "1$(C)", "C": "3"}


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("metadata.name", "web"),
        ("metadata.namespace", "shop"),
        ("metadata.uid", "u1"),
        ("metadata.labels['app']", "web"),
        ("metadata.annotations", 'note="say \\"hi\\""'),
        ("spec.nodeName", "node1"),
        ("spec.serviceAccountName", "clerk"),
        ("status.podIP", "10.244.1.5"),
        ("status.hostIP", "192.0.2.1"),
    ],
)
def test_field_reference(path: str, expected: str) -> None:
    assert values({"name": "V", "valueFrom": {"fieldRef": {"fieldPath": path}}}) == {"V": expected}


@pytest.mark.parametrize(
    ("resource", "divisor", "expected"),
    [
        ("limits.cpu", "", "1"),
        ("limits.cpu", "1m", "500"),
        ("requests.memory", "1Mi", "64"),
        ("limits.memory", "1Gi", "4"),
        ("requests.cpu", "1m", "500"),
    ],
)
def test_resource_reference(resource: str, divisor: str, expected: str) -> None:
    reference = {"resource": resource, "divisor": divisor}
    resources = {"limits": {"cpu": "500m"}, "requests": {"memory": "64Mi"}}
    assert values({"name": "V", "valueFrom": {"resourceFieldRef": reference}}, resources=resources) == {"V": expected}


def test_keys_and_whole_objects() -> None:
    secret = {"name": "T", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "token"}}}
    found = values(secret, env_from=[{"prefix": "S_", "configMapRef": {"name": "settings"}}])
    assert found == {"S_color": "red", "T": "abc"}


MISSING = [
    ({"configMapKeyRef": {"name": "nope", "key": "k"}}, 'configmap "nope" not found'),
    ({"secretKeyRef": {"name": "nope", "key": "k"}}, 'secret "nope" not found'),
    ({"configMapKeyRef": {"name": "settings", "key": "k"}}, "couldn't find key k in ConfigMap shop/settings"),
]


@pytest.mark.parametrize(("source", "message"), MISSING)
def test_what_is_missing_is_said_unless_optional(source: dict[str, Any], message: str) -> None:
    with pytest.raises(StartProblem) as caught:
        values({"name": "V", "valueFrom": source})
    assert (caught.value.reason, caught.value.message) == ("CreateContainerConfigError", message)
    (kind, reference), *_ = source.items()
    assert values({"name": "V", "valueFrom": {kind: reference | {"optional": True}}}) == {}


def service(name: str, namespace: str, address: str = "10.96.0.9") -> dict[str, Any]:
    ports = [{"name": "http", "port": 80, "protocol": "TCP"}, {"name": "dns-x", "port": 53, "protocol": "UDP"}]
    return {"metadata": {"name": name, "namespace": namespace}, "spec": {"clusterIP": address, "ports": ports}}


def test_services_of_the_namespace_and_the_api_server() -> None:
    services = [service("my-db", "shop"), service("other", "elsewhere"), service("headless", "shop", "None")]
    services += [service("kubernetes", "default", "10.96.0.1"), service("kubernetes", "shop", "None")]
    found = service_variables(POD, services)
    assert found["MY_DB_SERVICE_HOST"] == "10.96.0.9"
    assert found["MY_DB_SERVICE_PORT_DNS_X"] == "53"
    assert found["MY_DB_PORT"] == found["MY_DB_PORT_80_TCP"] == "tcp://10.96.0.9:80"
    assert found["MY_DB_PORT_53_UDP_ADDR"] == "10.96.0.9"
    assert found["KUBERNETES_SERVICE_HOST"] == "10.96.0.1"
    assert not any(name.startswith(("OTHER", "HEADLESS")) for name in found)
    quiet = POD | {"spec": POD["spec"] | {"enableServiceLinks": False}}
    assert {name.split("_")[0] for name in service_variables(quiet, services)} == {"KUBERNETES"}


PAIRS = [
    ({"b": "2", "a": "1"}, 'a="1"\nb="2"'),
    ({"a": 'say "hi"\\'}, 'a="say \\"hi\\"\\\\"'),
    ({"a": "\a\b\f\n\r\t\v"}, 'a="\\a\\b\\f\\n\\r\\t\\v"'),
    ({"a": "é\x01\x7f\u2028\ufeff"}, 'a="é\\x01\\x7f\\u2028\\ufeff"'),
    ({}, ""),
]


@pytest.mark.parametrize(("annotations", "text"), PAIRS)
def test_annotations_are_quoted_line_by_line(annotations: dict[str, str], text: str) -> None:
    pod = POD | {"metadata": POD["metadata"] | {"annotations": annotations}}
    assert field_value(pod, "metadata.annotations", (), ()) == text


RESOLV = [
    # (the node's own file, the pod's policy and settings, what the pod gets)
    ("nameserver 1.2.3.4 #comment\nsearch foo. bar .\noptions ndots:1\noptions attempts:3", {"dnsPolicy": "Default"},
     "nameserver 1.2.3.4\nsearch foo bar\noptions ndots:1 attempts:3\n"),
    (" \tnameserver \t 1.2.3.4\nsearch foo\nsearch bar\ncomment", {"dnsPolicy": "Default"},
     "nameserver 1.2.3.4\nsearch bar\n"),
    ("nameserver 8.8.8.8\nsearch host.domain", {},
     "nameserver 10.96.0.10\nsearch shop.svc.c.l svc.c.l c.l host.domain\noptions ndots:5\n"),
    ("nameserver 8.8.8.8\nsearch host.domain", {"hostNetwork": True}, "nameserver 8.8.8.8\nsearch host.domain\n"),
    ("", {"hostNetwork": True, "dnsPolicy": "ClusterFirstWithHostNet"},
     "nameserver 10.96.0.10\nsearch shop.svc.c.l svc.c.l c.l\noptions ndots:5\n"),
    ("nameserver 8.8.8.8", {"dnsPolicy": "None"}, "\n"),
    ("nameserver 8.8.8.8\nsearch host.domain",
     {"dnsConfig": {"nameservers": ["10.0.0.11"], "searches": ["my.domain", "c.l"],
                    "options": [{"name": "ndots", "value": "3"}, {"name": "debug"}]}},
     "nameserver 10.96.0.10\nnameserver 10.0.0.11\nsearch shop.svc.c.l svc.c.l c.l host.domain my.domain\n"
     "options ndots:3 debug\n"),
    ("", {"dnsPolicy": "None", "dnsConfig": {"nameservers": ["1.1.1.1", "2.2.2.2", "1.1.1.1", "3.3.3.3", "4.4.4.4"]}},
     "nameserver 1.1.1.1\nnameserver 2.2.2.2\nnameserver 3.3.3.3\n"),
    ("", {"dnsPolicy": "None", "dnsConfig": {"searches": [f"d{place}" for place in range(40)]}},
     f"search {' '.join(f'd{place}' for place in range(32))}\n"),
    ("", {"dnsPolicy": "None", "dnsConfig": {"searches": [f"{place}{'x' * 240}" for place in range(9)] + ["y" * 254]}},
     f"search {' '.join(str(place) + 'x' * 240 for place in range(8))}\n"),
]  # fmt: skip


@pytest.mark.parametrize(("node_file", "spec", "text"), RESOLV)
def test_how_a_pod_resolves_names(node_file: str, spec: dict[str, Any], text: str) -> None:
    pod = POD | {"spec": POD["spec"] | spec}
    assert resolver(pod, DnsSettings(("10.96.0.10",), "c.l", node_file)).file() == text


OMITTED = "limits were exceeded, some"
TOLD = [
    # (the cluster's name servers, the pod's policy and settings, the events)
    (("10.96.0.10",), {}, []),
    (("10.96.0.10",), {"dnsPolicy": "None", "dnsConfig": {"nameservers": ["1.1.1.1", "2.2.2.2", "3.3.3.3"]}}, []),
    ((), {"dnsPolicy": "Default"}, []),
    ((), {"hostNetwork": True}, []),
    ((), {}, [("MissingClusterDNS", 'pod: "web_shop(u1)". kubelet does not have ClusterDNS IP configured and cannot '
               'create Pod using "ClusterFirst" policy. Falling back to "Default" policy.')]),
    (("10.96.0.10", "10.96.0.11"), {"dnsConfig": {"nameservers": ["3.3.3.3", "4.4.4.4"]}},
     [("DNSConfigForming", f"Nameserver {OMITTED} nameservers have been omitted, the applied nameserver line is: "
       "10.96.0.10 10.96.0.11 3.3.3.3")]),
    (("10.96.0.10",), {"dnsPolicy": "None", "dnsConfig": {"searches": [f"d{place}" for place in range(33)]}},
     [("DNSConfigForming", f"Search Line {OMITTED} search paths have been omitted, the applied search line is: "
       f"{' '.join(f'd{place}' for place in range(32))}")]),
    # Of the first 32 those that are too long are left out; none that comes later takes their place.
    (("10.96.0.10",),
     {"dnsPolicy": "None", "dnsConfig": {"searches": ["x" * 254, *(f"d{place}" for place in range(32))]}},
     [("DNSConfigForming", f"Search Line {OMITTED} search paths have been omitted, the applied search line is: "
       f"{' '.join(f'd{place}' for place in range(31))}")]),
]  # fmt: skip


@pytest.mark.parametrize(("servers", "spec", "told"), TOLD)
def test_what_a_pod_is_told_of_its_resolver(
    servers: tuple[str, ...], spec: dict[str, Any], told: list[tuple[str, str]]
) -> None:
    pod = POD | {"spec": POD["spec"] | spec}
    assert resolver_warnings(pod, DnsSettings(servers, "c.l", "nameserver 8.8.8.8")) == told


@pytest.mark.parametrize("told", [((), (), ()), (("10.96.0.10",), ("svc",), ("ndots:5",))])
def test_a_runtime_always_hears_of_some_resolver(told: tuple[tuple[str, ...], ...]) -> None:
    identity = PodIdentity("web", "shop", "u1")
    config = sandbox_config(SandboxSpec(identity, 0, "web", resolver=told))["dns_config"]
    assert list(config) == ["servers", "searches", "options"] and any(config.values())
    assert told == ((), (), ()) or tuple(config.values()) == told


OF_SIGNER = {"signerName": "example.com/s", "path": "ca.pem"}
TRUST = [
    ("one by its name, each once and in order", {"name": "plain", "path": "ca.pem"}, [b"one", b"two"]),
    ("those of a signer", OF_SIGNER | {"labelSelector": {}}, [b"four", b"one", b"three"]),
    ("those with a label", OF_SIGNER | {"labelSelector": {"matchLabels": {"name": "s:b"}}}, [b"four"]),
    ("none without a selector", OF_SIGNER | {"optional": True}, []),
    ("none if it may be missing", {"name": "x", "path": "ca.pem", "optional": True}, []),
    ("missing", {"name": "x", "path": "ca.pem"}, 'clustertrustbundle "x" not found'),
    ("missing of a signer", OF_SIGNER, 'no clustertrustbundle of signer "example.com/s" matches the label selector'),
]


@pytest.mark.parametrize(("source", "wanted"), [pytest.param(*case[1:], id=case[0]) for case in TRUST])
def test_trust_bundles_become_a_file(source: dict[str, Any], wanted: list[bytes] | str) -> None:
    volume = {"name": "v", "projected": {"sources": [{"clusterTrustBundle": source}], "defaultMode": 0o444}}
    collector = Collector(Stored(), NoTokens(), AROUND)
    if isinstance(wanted, str):
        with pytest.raises(VolumeError, match=re.escape(wanted)):
            collector.collect(POD, volume)
        return
    text = "".join(ssl.DER_cert_to_PEM_cert(content) for content in wanted).encode()
    assert collector.collect(POD, volume) == {"ca.pem": File(text, 0o444)}


class NoTokens:
    """Nobody asks for a token here."""

    def token(self, pod: dict[str, Any], audience: str, seconds: int) -> str:
        raise AssertionError("no token was wanted")


def file_key(path: str, key: str, **more: Any) -> dict[str, Any]:
    return {"name": "V", "valueFrom": {"fileKeyRef": {"volumeName": "files", "path": path, "key": key, **more}}}


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        (file_key("good", "QUOTED"), {"V": "two\nlines"}),
        (file_key("good", "BARE"), {"V": "one two"}),
        (file_key("good", "EMPTY"), {"V": ""}),
        (file_key("bad", "GOOD"), {"V": "1"}),
        (file_key("good", "NONE", optional=True), {}),
        (file_key("none", "NONE", optional=True), {}),
        (file_key("good", "NONE"), 'environment variable key "NONE" not found in file "good"'),
        (file_key("none", "NONE"), "couldn't parse env file"),
        (file_key("bad", "SPACED"), "couldn't parse env file"),
    ],
)
def test_a_variable_that_another_container_has_written(reference: dict[str, Any], expected: Any) -> None:
    if isinstance(expected, dict):
        assert values(reference) == expected
        return
    with pytest.raises(StartProblem) as problem:
        values(reference)
    assert (problem.value.reason, problem.value.message) == ("CreateContainerConfigError", expected)
