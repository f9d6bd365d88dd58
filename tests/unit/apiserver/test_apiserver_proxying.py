"""What the proxy subresources do before and after a request is passed on."""

from __future__ import annotations

import pytest
from apiserver_objects import pod, service

from control.apiserver.handlers.proxying import _cut
from control.apiserver.proxy.links import moved, rewrite
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
        (f"{PODS}/web/proxy/login", f"{PODS}/web/proxy/login"),
        ("//10.0.0.1:80/", f"{PODS}/web/proxy/"),
        ("//10.0.0.2:80/", "//10.0.0.2:80/"),
        ("#top", "#top"),
        ("http://[", "http://["),
        ("https://example.com/", "https://example.com/"),
    ],
)
def test_redirections_stay_behind_the_proxy(location, seen):
    assert moved(location, f"{PODS}/web/proxy", "10.0.0.1:80") == seen


@pytest.mark.parametrize(
    ("page", "seen"),
    [
        ('<a href="/rewriteme">test</a>', '<a href="/p/rewriteme">test</a>'),
        ("<A class=x HREF='/a?b=1&amp;c=2'>", '<A class=x HREF="/p/a?b=1&amp;c=2">'),
        ("<img alt='/a' src=/b><br/>", "<img alt='/a' src=\"/p/b\"><br/>"),
        ('<a name="/a">/b</a> 1 < 2 href="/c"', '<a name="/a">/b</a> 1 < 2 href="/c"'),
        ('<!-- <a href="/a"> --><p href="/b">', '<!-- <a href="/a"> --><p href="/b">'),
        ('<script src="/a">x = \'<a href="/b">\'</script><a href="/c">',
         '<script src="/p/a">x = \'<a href="/b">\'</script><a href="/p/c">'),
        ('<form action="/f"><input formaction="/g" value="/h">',
         '<form action="/p/f"><input formaction="/p/g" value="/h">'),
        ('<title>never closed <a href="/a">', '<title>never closed <a href="/a">'),
        ('<a href="relative"><a href="https://elsewhere/">', '<a href="relative"><a href="https://elsewhere/">'),
    ],
)  # fmt: skip
def test_links_of_a_page_lead_through_the_proxy(page, seen):
    assert rewrite(page, lambda link: moved(link, "/p", "10.0.0.1:80")) == seen


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
