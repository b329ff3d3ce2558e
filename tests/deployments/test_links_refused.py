"""What no link may reach, however it is written, hidden, moved or renamed; and nothing is connected to."""

import asyncio
import socket
from collections.abc import Iterator, Sequence
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.errors import DeploymentError, LinkError
from deployments.links import addresses, link
from deployments.links.fetcher import Fetcher
from tests.support.sites import PUBLIC, Canary, Names, Site, Watch, http, is_public, moved, watched


class Web:
    """A site that counts as public, canaries that nobody may reach, and a name server."""

    def __init__(self) -> None:
        self.names = Names()
        self._fetcher = Fetcher(1 << 20, seconds=5, resolve=self._resolve, is_public=is_public)
        self.site = Site()
        self.canaries = [Canary("127.0.0.1", self.site.port, socket.AF_INET)]
        if socket.has_ipv6:
            self.canaries.append(Canary("::1", self.site.port, socket.AF_INET6))

    def clear(self) -> None:
        """Begin anew: no answers, and one name."""
        self.names = Names(site_example=[[PUBLIC]])
        self.site.answers.clear()

    async def _resolve(self, host: str, port: int) -> Sequence[str]:
        return await self.names.resolve(host, port)

    def fetch(self, url: str) -> bytes:
        """What a link gives."""
        return asyncio.run(self._fetcher.fetch(url.replace("PORT", str(self.site.port)))).data

    def close(self) -> None:
        self.site.close()
        for canary in self.canaries:
            canary.close()


@pytest.fixture(scope="module")
def whole_web() -> Iterator[Web]:
    found = Web()
    yield found
    found.close()


@pytest.fixture
def web(whole_web: Web) -> Web:
    whole_web.clear()
    return whole_web


def _refused(web: Web, url: str) -> Watch:
    """Fetch a link that must fail; nothing may have been connected to but the public site."""
    with watched() as watch, pytest.raises(DeploymentError):
        web.fetch(url)
    assert watch.refused() == []
    assert watch.lookups == []
    assert sum(canary.visits for canary in web.canaries) == 0
    return watch


REFUSED = [
    # this machine
    "127.0.0.1", "127.0.0.0", "127.1.2.3", "127.255.255.255", "0.0.0.0", "0.1.2.3", "::1", "::",
    # its network
    "10.0.0.1", "10.255.255.255", "172.16.0.1", "172.31.255.254", "192.168.0.1", "192.168.255.255",
    "100.64.0.1", "100.127.255.255", "169.254.0.1", "fe80::1", "fec0::1", "fc00::1", "fd12:3456:789a::1",
    # the cloud's own services
    "169.254.169.254", "169.254.170.2", "100.100.100.200", "168.63.129.16", "192.0.0.192",
    "fd00:ec2::254", "fd20:ce::254", "fd00:42::42", "fe80::a9fe:a9fe",
    # for many at once, or for nobody
    "224.0.0.1", "239.255.255.250", "255.255.255.255", "240.0.0.1", "ff02::1", "ff0e::1", "192.88.99.1",
    "192.0.2.1", "198.51.100.7", "203.0.113.9", "198.18.0.1", "198.19.255.255", "192.0.0.8", "192.52.193.1",
    "2001:db8::1", "3fff::1", "100::1", "100:0:0:1::1", "5f00::1", "3ffe::1", "4000::1", "2620:4f:8000::1",
    # an IPv4 address inside, whether that is public or not
    "::ffff:127.0.0.1", "::ffff:169.254.169.254", "::ffff:7f00:1", "::ffff:8.8.8.8", "::127.0.0.1",
    "::7f00:1",
    "::ffff:0:127.0.0.1", "2002:7f00:1::", "2002:a9fe:a9fe::1", "2002:808:808::1",
    "64:ff9b::127.0.0.1", "64:ff9b::a9fe:a9fe", "64:ff9b::808:808", "64:ff9b:1::7f00:1",
    "2001::1", "2001:0:53aa:64c:0:0:80ff:fffe", "2001:2::1", "2001:10::1", "2001:20::1",
    "2607:f8b0::5efe:127.0.0.1", "2607:f8b0::200:5efe:7f00:1", "2607:f8b0::5efe:8.8.8.8",
    "fe80::5efe:10.0.0.1",
]  # fmt: skip


@pytest.mark.parametrize("address", REFUSED)
def test_an_address_that_is_not_public_is_refused_in_a_link_and_behind_a_name(web: Web, address: str) -> None:
    assert not addresses.is_public(ip_address(address))
    host = f"[{address}]" if ":" in address else address
    for scheme in ("http", "https"):
        assert not _refused(web, f"{scheme}://{host}:PORT/").connects
    web.names.answers["other.example"] = [[address]]
    assert not _refused(web, "http://other.example:PORT/").connects
    web.site.answers["/"] = moved(f"http://{host}:{web.site.port}/")
    assert _refused(web, web.site.url()).connects == [PUBLIC]


@pytest.mark.parametrize(
    "address",
    ["8.8.8.8", "1.1.1.1", "93.184.215.14", "172.15.255.255", "172.32.0.0", "100.63.255.255", "100.128.0.0",
     "169.253.255.255", "168.63.129.15", "168.63.129.17", "223.255.255.255", "2606:4700::1111",
     "2001:4860:4860::8888", "2a00:1450:4001:80b::200e", "2003::1", "2607:f8b0::5eff:1:1"],
)  # fmt: skip
def test_public_addresses_are_not_refused(address: str) -> None:
    assert addresses.is_public(ip_address(address))


@pytest.mark.parametrize(
    "host",
    [
        # other ways to write 127.0.0.1 and 169.254.169.254
        "2130706433", "0x7f000001", "0x7f.0.0.1", "0x7f.1", "127.1", "127.0.1", "0177.0.0.1", "017700000001",
        "0177.0.0.01", "00000177.0.0.1", "127.0.0.1.", "127.0.0.01", "127.000.000.001", "0", "0x0", "0.0",
        "127.0.0.256",
        "2852039166", "0xa9fea9fe", "0xA9.0xFE.0xA9.0xFE", "0251.0376.0251.0376", "169.254.43518",
        "425.510.425.510",
        "4294967297", "127.0.0.1%00", "127.0.0.1%20", "127.0.0.1%2f", "%31%32%37.0.0.1", "127%2e0%2e0%2e1",
        # dots, digits and letters of other scripts
        "127。0。0。1", "127．0．0．1", "127｡0｡0｡1", "①②⑦.⓪.⓪.①", "１２７.0.0.1", "ⓛⓞⓒⓐⓛⓗⓞⓢⓣ",
        "locaⅼhost", "0x7f。1",
        "127.0.0.1\u200b", "\u2060127.0.0.1", "loc\u00adalhost", "١٢٧.٠.٠.١",
        # names that mean this machine or its network
        "localhost", "LOCALHOST", "localhost.", "localhost.localdomain", "foo.localhost", "ip6-localhost",
        "metadata",
        "metadata.google.internal", "metadata.google.internal.", "instance-data.ec2.internal", "router.lan",
        "printer.local", "kubernetes.default.svc.cluster.local", "intranet", "x.home.arpa", "x.onion",
        "wiki.private",
        "1.0.0.127.in-addr.arpa",
        # brackets
        "[::1]", "[::]", "[0:0:0:0:0:0:0:1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::1%25lo]",
        "[fe80::1%25eth0]",
        "[fe80::1%eth0]", "[v1.x]", "[127.0.0.1]", "[::1", "::1]", "[::127.0.0.1]", "[[::1]]",
        "[::1].example.com",
        # no names at all
        "", ".", "..", "-", "a..example", ".example.com", "-x.example.com", "x-.example.com",
        "a" * 64 + ".example",
        "*.example.com", "exa mple.com", "example.com,127.0.0.1", "example.com;127.0.0.1",
        "example.com&127.0.0.1",
    ],
)  # fmt: skip
def test_an_unusual_host_is_never_looked_up_nor_connected_to(web: Web, host: str) -> None:
    for url in (f"http://{host}:PORT/", f"https://{host}:PORT/"):
        assert not _refused(web, url).connects
    web.site.answers["/"] = moved(f"http://{host}:{web.site.port}/".encode().decode("latin-1"))
    assert _refused(web, web.site.url()).connects == [PUBLIC]
    assert web.names.asked == ["site.example"]


@pytest.mark.parametrize(
    "url",
    [
        # what parsers are known to read in two ways
        "http://site.example:PORT\\@127.0.0.1:PORT/", "http://127.0.0.1:PORT\\@site.example:PORT/",
        "http://127.0.0.1:PORT\\.site.example:PORT/", "http:\\\\127.0.0.1:PORT\\", "http:/\\127.0.0.1:PORT/",
        "http://site.example:PORT\\\\127.0.0.1:PORT/", "http://site.example@127.0.0.1:PORT/",
        "http://site.example:PORT@127.0.0.1:PORT/", "http://127.0.0.1:PORT@site.example:PORT/",
        "http://@127.0.0.1:PORT/",
        "http://:@127.0.0.1:PORT/", "http://user:word@site.example:PORT/", "http://user@site.example:PORT/",
        "http://site.example:PORT#@127.0.0.1:PORT/x y", "http://127.0.0.1:PORT#@site.example:PORT/",
        "http://127.0.0.1:PORT?@site.example:PORT/", "http://127.0.0.1:PORT;@site.example:PORT/",
        "http://site.example%40127.0.0.1:PORT/", "http://site.example%2f@127.0.0.1:PORT/",
        "http://a@b@127.0.0.1:PORT/",
        "http://127.0.0.1:PORT%23@site.example:PORT/", "http://foo@127.0.0.1:PORT @site.example:PORT/",
        "http://127.0.0.1\t:PORT/", "http://127.0.\n0.1:PORT/",
        "http://site.example:PORT/\r\nHost: 127.0.0.1",
        "http://site\t.example:PORT/", "ht\ntp://127.0.0.1:PORT/", "http://site.example:PORT/\x00",
        "http://site.example:PORT/ x",
        "http://site.example:PORT/\u2028x", "http://site.example:PORT/\u00a0x",
        # ports
        "http://site.example:22/", "http://site.example:25/", "http://site.example:6379/",
        "http://site.example:11211/",
        "http://site.example:0/", "http://site.example:-1/", "http://site.example:65536/",
        "http://site.example:99999999999/",
        "http://site.example:PORT:80/", "http://site.example:80:PORT/", "http://site.example:x/",
        "http://site.example:6000/",
        "http://site.example:PORT:@127.0.0.1/", "http://site.example: 80/", "http://site.example:445/",
        "https://site.example:993/",
        # schemes
        "file:///etc/passwd", "file://127.0.0.1/etc/passwd", "ftp://site.example/",
        "gopher://127.0.0.1:PORT/_x",
        "dict://127.0.0.1:PORT/", "ldap://127.0.0.1:PORT/", "ws://site.example:PORT/", "data:text/plain,x",
        "javascript:1",
        "jar:http://127.0.0.1:PORT/!/", "unix:///run/x.sock", "http+unix://x/", "//site.example:PORT/",
        "site.example:PORT/",
        "http:site.example", "http:/127.0.0.1:PORT/", "http:///127.0.0.1:PORT/", "http:127.0.0.1:PORT/",
        "http://", "https:",
        "url:http://127.0.0.1:PORT/", "HTTP://127.0.0.1:PORT/", "http://http://127.0.0.1:PORT/", " ", "",
        "http://site.example:PORT/" + "x" * 2_000,
    ],
)  # fmt: skip
def test_what_parsers_read_in_two_ways_is_not_read_at_all(web: Web, url: str) -> None:
    assert not _refused(web, url).connects
    assert web.names.asked == []


@pytest.mark.parametrize("status", ["301 M", "302 F", "303 S", "307 T", "308 P"])
@pytest.mark.parametrize(
    "location",
    [
        "http://127.0.0.1:PORT/", "//127.0.0.1:PORT/", "http://[::1]:PORT/", "\\\\127.0.0.1:PORT\\",
        "/\\127.0.0.1:PORT/",
        "http://inner.example:PORT/", "//inner.example:PORT/", "http://2130706433:PORT/",
        "http://localhost:PORT/",
        "http://site.example@127.0.0.1:PORT/", "http://u:p@site.example:PORT/", "file:///etc/passwd",
        "ftp://site.example/",
        "gopher://127.0.0.1:PORT/", "data:text/plain,x", "http://site.example:22/", "http:///x", "http://",
        "http://[",
        "http://127.0.0.1:PORT/\\@site.example", "\thttp://127.0.0.1:PORT/",
        "http://site.example:PORT/ok x", "", "/again",
        "http://mixed.example:PORT/",
    ],
)  # fmt: skip
def test_no_redirect_leads_where_a_link_may_not(web: Web, status: str, location: str) -> None:
    web.names.answers |= {"inner.example": [["127.0.0.1"]], "mixed.example": [[PUBLIC, "127.0.0.1"]]}
    web.site.answers |= {
        "/": moved(location.replace("PORT", str(web.site.port)), status),
        "/again": moved("/"),
    }
    connects = set(_refused(web, web.site.url()).connects)
    assert connects == {PUBLIC}


def test_a_chain_of_redirects_is_checked_at_each_link_and_has_an_end(web: Web) -> None:
    for number in range(6):
        web.site.answers[f"/{number}"] = moved(f"/{number + 1}")
    web.site.answers |= {"/6": http(b"there"), "/inner": moved(f"http://127.0.0.1:{web.site.port}/")}
    assert web.fetch(web.site.url("/1")) == b"there"
    with pytest.raises(LinkError, match="more than 5 times"):
        web.fetch(web.site.url("/0"))
    web.site.answers["/6"] = moved("/inner")
    _refused(web, web.site.url("/2"))


@pytest.mark.parametrize(
    "listed",
    [[PUBLIC, "127.0.0.1"], ["127.0.0.1", PUBLIC], [PUBLIC, PUBLIC, "::1"], [PUBLIC, "::ffff:127.0.0.1"],
     [PUBLIC, "169.254.169.254"], [PUBLIC, "fe80::1%lo"], [PUBLIC, "no address"], []],
)  # fmt: skip
def test_one_refused_address_among_several_refuses_the_name(web: Web, listed: list[str]) -> None:
    web.names.answers["mixed.example"] = [listed]
    assert not _refused(web, "http://mixed.example:PORT/").connects


def test_a_name_that_changes_between_check_and_connection_is_asked_once(web: Web) -> None:
    web.names.answers["rebinds.example"] = [[PUBLIC], ["127.0.0.1"]]
    web.site.answers["/"] = http(b"public")
    with watched() as watch:
        assert web.fetch("http://rebinds.example:PORT/") == b"public"
    assert watch.connects == [PUBLIC]
    assert watch.lookups == []
    assert web.names.asked == ["rebinds.example"]
    assert not _refused(web, "http://rebinds.example:PORT/").connects  # the second answer


def test_a_name_that_changes_between_two_redirects_is_checked_again(web: Web) -> None:
    web.names.answers["rebinds.example"] = [[PUBLIC], ["127.0.0.1"]]
    web.site.answers["/"] = moved("/next")
    assert _refused(web, "http://rebinds.example:PORT/").connects == [PUBLIC]
    assert web.names.asked == ["rebinds.example", "rebinds.example"]


def test_nothing_of_the_environment_leads_elsewhere(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{web.site.port}")
    monkeypatch.setenv("no_proxy", "")
    web.site.answers["/"] = http(b"direct")
    with watched() as watch:
        assert web.fetch(web.site.url()) == b"direct"
    assert watch.connects == [PUBLIC]


_PIECES = st.sampled_from(
    ["http://", "https://", "//", "/", "\\", "@", ":", "?", "#", "[", "]", "::1", "127.0.0.1",
     "localhost", "2130706433",
     "site.example", "inner.example", "0x7f.1", "%31", "%2e", ".", "。", "\t", " ", "80", "443", "8080", "x"]
)  # fmt: skip


@given(st.lists(_PIECES, max_size=9).map("".join) | st.text(max_size=40))
def test_a_link_that_is_read_names_what_is_asked_for(text: str) -> None:
    try:
        found = link.read(text)
    except LinkError:
        return
    assert found.url.scheme in ("http", "https")
    assert found.url.raw_host.decode() == found.host
    assert found.url.port in (None, found.port)
    assert not found.url.userinfo
    assert addresses.read(found.host) is not None or "." in found.host
    assert link.read(str(found.url)) == found  # it is read the same again
    pinned = found.pinned(ip_address("2606:4700::1111"))
    assert pinned.host == "2606:4700::1111"
    assert (pinned.raw_path, pinned.port) == (found.url.raw_path, found.url.port)
