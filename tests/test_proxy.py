"""URLs of proxies and the variables that hold them, as curl reads both."""

from __future__ import annotations

import traceback

import pytest

from credssp.errors import LocalProtocolError
from credssp.proxy import Proxy, proxy_from_environment
from credssp.secret import Secret


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        ("http://proxy.lab.test:3128", ("http", "proxy.lab.test", 3128, "", "")),
        ("http://proxy.lab.test:3128/", ("http", "proxy.lab.test", 3128, "", "")),
        ("proxy.lab.test", ("http", "proxy.lab.test", 1080, "", "")),
        ("SOCKS5H://192.0.2.1", ("socks5h", "192.0.2.1", 1080, "", "")),
        ("socks5://[fe80::1%eth0]:9050", ("socks5", "fe80::1%eth0", 9050, "", "")),
        ("http://us%20er:p%40ss%3A@proxy:8080", ("http", "proxy", 8080, "us er", "p@ss:")),
        ("http://user@proxy:8080", ("http", "proxy", 8080, "user", "")),
        ("http://user:a:b@proxy", ("http", "proxy", 1080, "user", "a:b")),
    ],
)
def test_url_of_a_proxy(url: str, parts: tuple[str, str, int, str, str]) -> None:
    proxy = Proxy.parse(url)
    assert (proxy.scheme, proxy.host, proxy.port, proxy.username, proxy.password.reveal()) == parts


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("", "not a URL"),
        ("http://", "not a URL"),
        ("http://user:hunter2@proxy/path", "not a URL"),
        ("http://user:hunter2@proxy:99999", "99999 is not a TCP port"),
        ("http://user:hunter2@proxy:0", "0 is not a TCP port"),
        ("https://user:hunter2@proxy", "one of http, socks5, socks5h, not 'https'"),
        ("socks4://proxy", "one of http, socks5, socks5h"),
        ("http://us%3Aer:hunter2@proxy", "colon"),
        ("http://:hunter2@proxy", "without a user name"),
        ("http://user:hunter2%0d%0aX@proxy", "Latin-1 without control characters"),
        ("http://user:hunter2%e2%82%ac@proxy", "Latin-1"),
        ("socks5://user@proxy", "with a password only"),
        ("socks5://us%c3%a4r:hunter2@proxy", "ASCII"),
        ("socks5://user:" + "hunter2" * 40 + "@proxy", "255"),
    ],
)
def test_what_is_not_the_url_of_a_proxy_is_refused_without_its_password(url: str, text: str) -> None:
    with pytest.raises(LocalProtocolError, match=text) as caught:
        Proxy.parse(url)
    report = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    report.stack = traceback.StackSummary.from_list(frame for frame in report.stack if "/tests/" not in frame.filename)
    assert "hunter2" not in "".join(report.format())
    assert "hunter2" not in str(caught.value)


def test_neither_str_nor_repr_shows_the_login() -> None:
    proxy = Proxy.parse("http://someone:hunter2@proxy:3128")
    assert str(proxy) == "http://proxy:3128"
    assert "someone" not in repr(proxy)
    assert "hunter2" not in repr(proxy)
    assert proxy.password == Secret("hunter2")


ALL = {"all_proxy": "socks5h://all:1"}


@pytest.mark.parametrize(
    ("scheme", "environ", "proxy"),
    [
        ("rdp", {}, None),
        ("rdp", ALL, "socks5h://all:1"),
        ("rdp", {"ALL_PROXY": "all:2"}, "http://all:2"),
        ("rdp", ALL | {"rdp_proxy": "http://rdp:3"}, "http://rdp:3"),
        ("rdp", ALL | {"RDP_PROXY": "http://rdp:4"}, "http://rdp:4"),
        ("rdp", {"http_proxy": "http://web:5", "https_proxy": "http://web:5"}, None),
        ("http", {"http_proxy": "http://web:6", "https_proxy": "http://tls:6"}, "http://web:6"),
        ("https", {"http_proxy": "http://web:7", "HTTPS_PROXY": "http://tls:7"}, "http://tls:7"),
        ("https", {"https_proxy": "http://small:8", "HTTPS_PROXY": "http://LARGE:8"}, "http://small:8"),
        ("rdp", {"rdp_proxy": "", "ALL_PROXY": "all:10"}, "http://all:10"),
    ],
)
def test_proxy_of_the_environment(scheme: str, environ: dict[str, str], proxy: str | None) -> None:
    found = proxy_from_environment(scheme, "srv.lab.test", environ)
    assert (None if found is None else str(found)) == proxy


def test_http_proxy_in_capitals_is_not_read_because_a_web_server_sets_it_from_a_header() -> None:
    assert proxy_from_environment("http", "srv", {"HTTP_PROXY": "http://evil:1"}) is None


@pytest.mark.parametrize(
    ("host", "exceptions", "direct"),
    [
        ("srv.lab.test", "*", True),
        ("srv.lab.test", "srv.lab.test", True),
        ("SRV.lab.test.", "srv.LAB.test", True),
        ("srv.lab.test", "lab.test", True),
        ("srv.lab.test", ".lab.test", True),
        ("srv.lab.test", "other.test, lab.test", True),
        ("srv.lab.test", "other.test lab.test", True),
        ("srv.lab.test", "ab.test", False),
        ("srv.lab.test", "srv", False),
        ("192.0.2.7", "192.0.2.7", True),
        ("192.0.2.7", "192.0.2.0/24", True),
        ("192.0.2.7", "192.0.3.0/24", False),
        ("192.0.2.7", "2.7", False),
        ("2001:db8::7", "[2001:DB8::7]", True),
        ("2001:db8::7", "2001:db8::/32", True),
        ("fe80::7%eth0", "fe80::/10", True),
        ("srv.lab.test", "", False),
        ("srv.lab.test", " , ", False),
    ],
)
@pytest.mark.parametrize("name", ["no_proxy", "NO_PROXY"])
def test_no_proxy(host: str, exceptions: str, direct: bool, name: str) -> None:
    assert (proxy_from_environment("rdp", host, ALL | {name: exceptions}) is None) is direct


def test_variable_that_holds_no_url_of_a_proxy_is_named() -> None:
    with pytest.raises(LocalProtocolError, match="^all_proxy: ") as caught:
        proxy_from_environment("rdp", "srv", {"all_proxy": "http://user:hunter2@"})
    assert "hunter2" not in str(caught.value)


def test_the_variables_of_the_process_are_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("rdp_proxy", "socks5://proxy:9")
    assert str(proxy_from_environment("rdp", "srv")) == "socks5://proxy:9"
