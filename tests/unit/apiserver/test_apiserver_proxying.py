"""What the proxy subresources do before and after a request is passed on."""

from __future__ import annotations

import pytest
from apiserver_objects import pod, service

from control.apiserver.handlers.proxying import _cut, _moved
from control.apiserver.proxy.backend import Target
from control.apiserver.request import Request

pytestmark = pytest.mark.unit

PODS = "/api/v1/namespaces/default/pods"


def request(path: str) -> Request:
    return Request({"REQUEST_METHOD": "GET", "PATH_INFO": path})


@pytest.mark.parametrize(
    ("path", "base", "rest"),
    [
        (f"{PODS}/web/proxy", f"{PODS}/web/proxy", ""),
        (f"{PODS}/web/proxy/", f"{PODS}/web/proxy", "/"),
        (f"{PODS}/proxy-a:80/proxy/proxy/b//c/", f"{PODS}/proxy-a:80/proxy", "/proxy/b//c/"),
        ("/api/v1/nodes/n/proxy/a b", "/api/v1/nodes/n/proxy", "/a%20b"),
    ],
)
def test_the_other_side_is_asked_for_what_follows_the_proxy(path, base, rest):
    assert _cut(request(path)) == (base, rest)


@pytest.mark.parametrize(
    ("location", "seen"),
    [
        ("/login?a=b", f"{PODS}/web/proxy/login?a=b"),
        ("http://10.0.0.1:80/login", f"{PODS}/web/proxy/login"),
        ("next", "next"),
        ("https://example.com/", "https://example.com/"),
    ],
)
def test_redirections_stay_behind_the_proxy(location, seen):
    assert _moved(location, f"{PODS}/web/proxy", Target("10.0.0.1", 80, "/")) == seen


def test_a_reader_without_a_slash_is_sent_to_where_relative_links_work(cluster):
    client = cluster.client()
    client.create("pods", pod("web"))
    for path in (f"{PODS}/web/proxy", "/api/v1/namespaces/default/services/web/proxy"):
        status, _, headers = cluster.request("GET", f"{path}?a=b")
        assert (status, headers["Location"]) == (301, f"{path}/?a=b")


@pytest.mark.parametrize("address", ["127.0.0.1", "169.254.169.254", "0.0.0.0", "::1"])
def test_nobody_reaches_the_control_host_itself_through_a_pod(cluster, address):
    client = cluster.client()
    made = client.create("pods", pod("web"))
    client.update_status("pods", made | {"status": {"podIP": address, "podIPs": [{"ip": address}]}})
    status, answer, _ = cluster.request("GET", f"{PODS}/web:80/proxy/")
    assert (status, answer["message"]) == (400, "address not allowed")


def test_a_service_without_endpoints_is_unavailable(cluster):
    cluster.client().create("services", service("web"))
    status, answer, _ = cluster.request("GET", "/api/v1/namespaces/default/services/web/proxy/")
    assert (status, answer["reason"]) == (503, "ServiceUnavailable")
    assert answer["message"] == 'no endpoints available for service "web"'
