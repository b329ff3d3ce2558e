"""What links give: bodies of every kind and size, read within limits, and pages as text."""

import asyncio
import gzip
import os
import socket
import ssl
import threading
import time
import zlib
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

import pytest

from deployments.account import Artifact
from deployments.errors import DeploymentError, LinkError, TooLargeError
from deployments.links import page
from deployments.links.fetcher import Fetched, Fetcher
from deployments.links.links import Links
from deployments.links.neighbours import Neighbours
from deployments.media import File, modality_of
from model_catalog.tasks import Modality
from tests.deployments.samples import FILMS, PICTURES, SOUNDS
from tests.support.sites import PUBLIC, Names, Site, http, is_public, moved

MOST = 1 << 20

ARTICLE = """<!doctype html><html><head><title>On  whales</title><script>steal()</script></head><body>
<nav><a href="/">Home</a> <a href="/about">About</a></nav>
<article><h1>On whales</h1>
<p>The blue whale is the largest animal that is known to have lived. It may be thirty metres long.</p>
<p>It feeds on krill, of which it takes up to four tonnes a day, and travels between cold and warm seas.</p>
<p>Since the hunt for it was ended, its numbers have grown again; there may be twenty thousand by now.</p>
</article><footer>Cookies and terms</footer></body></html>"""


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    found = Site()
    yield found
    found.close()


@cache
def _fetcher(seconds: float = 5.0) -> Fetcher:
    names = Names(site_example=[[PUBLIC]])
    return Fetcher(MOST, seconds=seconds, resolve=names.resolve, is_public=is_public)


def _fetch(site: Site, path: str = "/", seconds: float = 5.0) -> Fetched:
    return asyncio.run(_fetcher(seconds).fetch(site.url(path)))


def test_a_link_is_asked_for_under_its_name_with_nothing_of_anybody(site: Site) -> None:
    site.asked.clear()
    site.answers |= {
        "/old": http(b"", "Location: /new?q=1", "Set-Cookie: a=b", status="302 Found"),
        "/new?q=1": http(b"hello", kind="Text/Plain; charset=UTF-8"),
    }
    fetched = _fetch(site, "/old#part")
    assert fetched == Fetched(b"hello", "text/plain", "utf-8", site.url("/new?q=1"))
    for head in site.asked:
        names = {line.partition(":")[0].lower() for line in head.split("\r\n")[1:] if line}
        assert names == {"host", "user-agent", "accept", "accept-encoding", "connection"}
        assert f"Host: site.example:{site.port}" in head
        assert "hugginggpt-serve/" in head
    assert len(site.asked) == 2


def test_the_next_address_is_tried_where_one_takes_no_connection(site: Site) -> None:
    names = Names(site_example=[["127.0.0.3", PUBLIC]])
    also = lambda address: str(address) == "127.0.0.3" or is_public(address)  # noqa: E731
    site.answers["/"] = http(b"here")
    fetcher = Fetcher(MOST, resolve=names.resolve, is_public=also)
    assert asyncio.run(fetcher.fetch(site.url())).data == b"here"


def _packed(size: int) -> bytes:
    """So many zeros, packed block by block, without the end of it."""
    packer = zlib.compressobj(9, wbits=16 + zlib.MAX_WBITS)
    first = packer.compress(bytes(1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
    other = packer.compress(bytes(1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
    return first + other * (size >> 20)


def _endless(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n")
    while True:
        connection.sendall(bytes(65536))


def _endless_head(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\n")
    while True:
        connection.sendall(b"X: " + b"x" * 1000 + b"\r\n")


def _endless_chunks(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        connection.sendall(b"10000\r\n" + bytes(65536) + b"\r\n")


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (http(bytes(MOST + 1)), "over 1 MiB"),
        (http(b"x", size=10**9), "over 1 MiB"),
        (http(b"x", size=10**60), "broke off"),
        (_endless, "over 1 MiB"),
        (_endless_chunks, "over 1 MiB"),
        (_endless_head, "cannot be reached, or broke off"),
        (http(_packed(64 << 20), "Content-Encoding: gzip"), "over 1 MiB"),
        (http(gzip.compress(_packed(64 << 20)), "Content-Encoding: gzip, gzip"), "packed in a way"),
        (http(b"x", "Content-Encoding: br"), "packed in a way"),
        (http(b"x", "Content-Encoding: zstd"), "packed in a way"),
        (http(zlib.compress(b"x"), "Content-Encoding: deflate"), "packed in a way"),
        (http(b"no gzip", "Content-Encoding: gzip"), "damaged"),
        (http(gzip.compress(b"x" * 999)[:-9], "Content-Encoding: gzip"), "damaged"),
        (http(b"short", size=10), "cannot be reached, or broke off"),
        (b"no http at all\r\n\r\n", "cannot be reached, or broke off"),
        (b"", "cannot be reached, or broke off"),
        (http(b"no", status="404 Not Found"), "status 404"),
        (http(b"no", status="500 Oops"), "status 500"),
        (http(b"part", status="206 Partial Content"), "status 206"),
        (http(b"", status="204 No Content"), "status 204"),
        (http(b"", status="304 Not Modified"), "status 304"),
        (http(b"", status="300 Multiple Choices"), "status 300"),
        (http(b"", status="401 Who", kind="text/html"), "status 401"),
        (http(b"", status="302 Found"), "redirects to nowhere"),
    ],
)  # fmt: skip
def test_what_a_server_may_send_to_harm_ends_in_a_sentence(site: Site, answer: object, told: str) -> None:
    site.answers["/"] = answer  # type: ignore[assignment]
    with pytest.raises(DeploymentError, match=told) as caught:
        _fetch(site)
    assert isinstance(caught.value, LinkError | TooLargeError)
    assert len(caught.value.message) < 200


def _memory() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_a_bomb_takes_no_more_memory_than_the_limit(site: Site) -> None:
    site.answers["/"] = http(_packed(900 << 20), "Content-Encoding: gzip")
    with pytest.raises(TooLargeError):
        _fetch(site)  # what is imported or made once is there now
    before = _memory()
    with pytest.raises(TooLargeError):
        _fetch(site)
    assert _memory() - before < 30 << 20


def test_a_server_that_takes_its_time_is_given_up(site: Site) -> None:
    gone = threading.Event()

    def drip(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        try:
            while True:  # each read is in time; the whole is not
                connection.sendall(b"x")
                time.sleep(0.02)
        finally:
            gone.set()

    def silent(connection: socket.socket) -> None:
        try:
            connection.recv(1)  # until the client leaves
        finally:
            gone.set()

    for answer in (drip, silent):
        gone.clear()
        site.answers["/"] = answer
        began = time.monotonic()
        with pytest.raises(LinkError, match="did not answer in time"):
            _fetch(site, seconds=0.3)
        assert time.monotonic() - began < 3
        assert gone.wait(5)  # the connection is closed


def test_a_name_that_is_looked_up_for_too_long_is_given_up(site: Site) -> None:
    async def never(host: str, port: int) -> Sequence[str]:
        await asyncio.Event().wait()
        raise AssertionError

    with pytest.raises(LinkError, match="in time"):
        asyncio.run(Fetcher(MOST, seconds=0.05, resolve=never).fetch(site.url()))


def test_packed_bodies_are_unpacked(site: Site) -> None:
    site.answers["/"] = http(gzip.compress(b"whales " * 1000), "Content-Encoding: GZIP")
    assert _fetch(site).data == b"whales " * 1000
    site.answers["/"] = http(b"plain", "Content-Encoding: identity")
    assert _fetch(site).data == b"plain"


# TLS ---------------------------------------------------------------------------------------------------


def _certificate(folder: Path, *names: str) -> tuple[Path, Path]:
    """A certificate that signs itself, and its key."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, names[0])])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(one) for one in names]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem, secret = folder / "certificate.pem", folder / "key.pem"
    pem.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    secret.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return pem, secret


def test_tls_is_with_the_name_though_the_connection_is_with_an_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pem, secret = _certificate(tmp_path, "site.example")
    monkeypatch.setenv("SSL_CERT_FILE", str(pem))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pem, secret)
    told: list[str | None] = []
    context.sni_callback = lambda _socket, name, _context: told.append(name)
    site = Site(context)
    try:
        site.answers |= {"/": http(b"private"), "/down": moved(f"http://site.example:{site.port}/")}
        names = Names(site_example=[[PUBLIC]], other_example=[[PUBLIC]])
        fetcher = Fetcher(MOST, resolve=names.resolve, is_public=is_public)
        assert asyncio.run(fetcher.fetch(site.url(scheme="https"))).data == b"private"
        assert told == ["site.example"]
        with pytest.raises(LinkError, match="cannot be reached"):  # the certificate is another's
            asyncio.run(fetcher.fetch(site.url(scheme="https", host="other.example")))
        with pytest.raises(LinkError, match="from https to http"):
            asyncio.run(fetcher.fetch(site.url("/down", scheme="https")))
        assert len(site.asked) == 2  # where the certificate is another's, no word was sent
    finally:
        site.close()


# What is stored ----------------------------------------------------------------------------------------


class Shelf:
    """Stores files, as the artifact deployment does."""

    def __init__(self) -> None:
        self.kept: list[tuple[File, str, str]] = []

    async def keep(self, file: File, name: str, owner: str) -> Artifact:
        self.kept.append((file, name, owner))
        kind = file.media_type
        return Artifact(
            path=f"/files/{len(self.kept)}", modality=modality_of(kind), media_type=kind, size=len(file.data)
        )


TEXT = (Modality.TEXT, Modality.TABLE, Modality.DATA)
TABLE = (Modality.TABLE, Modality.TEXT)
IMAGE = (Modality.IMAGE,)
AUDIO = (Modality.AUDIO, Modality.VIDEO)


def _links(
    data: bytes, kind: str, charset: str = "", most: int = 50_000, end: str = "a/b.c"
) -> tuple[Links, Shelf]:
    shelf = Shelf()

    async def fetch(url: str, accept: str) -> Fetched:
        return Fetched(data, kind, charset, f"https://site.example/{end}")

    return Links(MOST, most, fetch=fetch, keep=shelf.keep), shelf


async def test_of_a_page_its_readable_text_is_stored_for_whom_it_was_read() -> None:
    links, shelf = _links(ARTICLE.encode(), "text/html", "utf-8", end="whales?utm=1")
    read = await links.read("https://short.example/1", TEXT, "key-1")
    assert (read.url, read.title, read.cut) == ("https://site.example/whales?utm=1", "On whales", False)
    ((file, name, owner),) = shelf.kept
    assert (file.media_type, name, owner) == ("text/plain", "whales.txt", "key-1")
    text = file.data.decode()
    assert "The blue whale is the largest animal" in text
    assert "twenty thousand by now." in text
    for clutter in ("steal", "About", "Cookies", "<p>"):
        assert clutter not in text


async def test_a_long_text_is_cut_between_words() -> None:
    links, shelf = _links(ARTICLE.encode(), "text/html", most=100)
    assert (await links.read("x", TEXT)).cut
    text = shelf.kept[0][0].data.decode()
    assert 60 < len(text) <= 100
    assert ARTICLE.replace("\n", " ").find(text.split()[-1] + " ") > 0


@pytest.mark.parametrize(
    ("data", "kind", "charset", "text"),
    [
        ("Grüße".encode(), "text/plain", "", "Grüße"),
        ("Grüße".encode("latin-1"), "text/plain", "iso-8859-1", "Grüße"),
        ("Grüße “so”".encode("cp1252"), "text/plain", "iso-8859-1", "Grüße “so”"),
        ("Grüße".encode("latin-1"), "text/plain", "", "Grüße"),
        ("Grüße".encode("latin-1"), "text/plain", "utf-8", "Grüße"),
        ("世界".encode("shift_jis"), "text/plain", "Shift_JIS", "世界"),
        ("世界".encode("utf-16"), "text/plain", "", "世界"),
        ("世界".encode("utf-8-sig"), "text/plain", "ascii", "世界"),
        (b"plain", "text/plain", "zip", "plain"),
        (b"plain", "text/plain", "punycode", "plain"),
        (b"plain", "text/plain", "unicode_escape", "plain"),
        (b"plain", "text/plain", "x" * 99, "plain"),
        (b"plain", "text/plain", "\0", "plain"),
        (b"a\0b\x1b[31m\xe2\x80\xae\tc\r\nd".replace(b"\0", b""), "text/plain", "", "ab[31m\tc\nd"),
        (b'{"a": 1}', "application/json", "", '{"a": 1}'),
        (b"a,b\n1,2\n", "text/csv", "", "a,b\n1,2"),
        (b"<rss>x</rss>", "application/rss+xml", "", "<rss>x</rss>"),
        (b"# Title", "", "", "# Title"),
    ],
)  # fmt: skip
async def test_texts_come_in_any_encoding_and_without_hidden_characters(
    data: bytes, kind: str, charset: str, text: str
) -> None:
    assert page.read(data, charset, False, 1000)["text"] == text
    links, shelf = _links(data, kind, charset)
    await links.read("x", TEXT)
    assert shelf.kept[0][0] == File(text.encode(), "text/plain")


def test_a_page_says_its_encoding_itself() -> None:
    html = ARTICLE.replace("<head>", '<head><meta http-equiv=x content="text/html; charset=koi8-r">')
    text = html.replace("largest animal", "самое большое животное").encode("koi8-r")
    assert "самое большое животное" in page.read(text, "", True, 9999)["text"]


@pytest.mark.parametrize(
    ("data", "kind", "wanted", "stored"),
    [
        (PICTURES["image/png"], "text/html", IMAGE, ("image/png", "b.png")),
        (PICTURES["image/jpeg"], "", IMAGE, ("image/jpeg", "b.jpg")),
        (SOUNDS["audio/wav"], "application/octet-stream", AUDIO, ("audio/wav", "b.wav")),
        (FILMS["video/mp4"], "video/mp4", AUDIO, ("video/mp4", "b.mp4")),
        (b"a,b\n1,2\n", "text/plain", TABLE, ("text/csv", "b.csv")),
        (b"a,b\n1,2\n", "text/csv", (), ("text/csv", "b.csv")),
        (b"[1]", "application/json", (), ("application/json", "b.json")),
        (ARTICLE.encode(), "text/html", (), ("text/plain", "b.txt")),
        (ARTICLE.encode(), "", TEXT, ("text/plain", "b.txt")),
        (PICTURES["image/png"], "image/png", (), ("image/png", "b.png")),
    ],
)  # fmt: skip
async def test_files_are_what_their_bytes_say(
    data: bytes, kind: str, wanted: tuple[Modality, ...], stored: tuple[str, str]
) -> None:
    links, shelf = _links(data, kind)
    read = await links.read("x", wanted)
    ((file, name, _),) = shelf.kept
    assert (file.media_type, name) == stored
    assert read.artifact.media_type == stored[0]


@pytest.mark.parametrize(
    ("data", "kind", "wanted", "told"),
    [
        (ARTICLE.encode(), "text/html", IMAGE, "It holds a page, but a picture is needed"),
        (ARTICLE.encode(), "image/png", IMAGE, "It holds a page, but a picture is needed"),
        (ARTICLE.encode(), "text/html", TABLE, "It holds a page, but a table is needed"),
        (PICTURES["image/png"], "text/html", TEXT, "It holds a picture, but a text is needed"),
        (PICTURES["image/png"], "audio/wav", AUDIO, "It holds a picture, but a recording is needed"),
        (b"words", "image/png", IMAGE, "It holds a text, but a picture is needed"),
        (b"%PDF-1.7 x", "application/pdf", TEXT, "a kind of file that is not read"),
        (b"%PDF-1.7 x", "text/html", TEXT, "a kind of file that is not read"),
        (b"PK\3\4\0\0\xff", "application/zip", (), "a kind of file that is not read"),
        (b"\0\0\xffhtml", "text/html", TEXT, "a kind of file that is not read"),
        (b"\x7fELF\xff\0", "text/plain", TEXT, "a kind of file that is not read"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "image/svg+xml", IMAGE, "It holds a text"),
        (b"", "text/html", TEXT, "It is empty"),
        (b"<html><body><script>draw()</script></body></html>", "text/html", TEXT, "It holds no text"),
        (b"  \n ", "text/plain", TEXT, "It holds no text"),
        (b"x" * (6 << 20), "text/plain", TEXT, "over 5 MiB"),
    ],
)  # fmt: skip
async def test_what_is_not_wanted_or_not_read_is_not_stored(
    data: bytes, kind: str, wanted: tuple[Modality, ...], told: str
) -> None:
    links, shelf = _links(data, kind)
    with pytest.raises(LinkError, match=told):
        await links.read("x", wanted)
    assert not shelf.kept


@pytest.mark.parametrize(
    "html",
    [
        "<div>" * 200_000 + "deep",
        "<table><tr><td>" * 50_000,
        "<p " + "a=b " * 400_000 + ">wide</p>",
        "<!--" * 500_000,
        "<!DOCTYPE html [<!ENTITY a 'aaaaaaaaaa'>" + "".join(
            f"<!ENTITY {chr(98 + n)} '{('&' + chr(97 + n) + ';') * 10}'>" for n in range(9)) + "]><p>&j;</p>",
        "<!DOCTYPE x [<!ENTITY e SYSTEM 'file:///etc/passwd'>]><html><p>&e; and nothing else</p></html>",
    ],
)  # fmt: skip
async def test_a_page_made_to_ruin_its_reader_costs_no_more_than_its_limits(html: str) -> None:
    links, shelf = _links(html.encode(), "text/html")
    began = time.monotonic()
    try:
        await links.read("x", TEXT)
    except LinkError:
        pass
    else:
        assert b"root:" not in shelf.kept[0][0].data
        assert len(shelf.kept[0][0].data) < 300_000
    assert time.monotonic() - began < page.SECONDS + 5


async def test_pages_need_what_takes_their_text_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deployments.links.links.find_spec", lambda name: None)
    links, _ = _links(ARTICLE.encode(), "text/html")
    with pytest.raises(LinkError, match=r"pip install 'hugginggpt-serve\[links\]'"):
        await links.read("x", TEXT)


# Neighbours --------------------------------------------------------------------------------------------


def test_public_addresses_of_this_machine_and_its_cluster_are_refused() -> None:
    from ipaddress import ip_address

    near = Neighbours(lambda: ["8.8.4.4", "2606:4700::1", "fe80::1%eth0", "02:42:ac:11:00:02"])
    assert near.is_public(ip_address("8.8.4.4"))  # nobody has looked yet
    near.look()
    assert not near.is_public(ip_address("8.8.4.4"))
    assert not near.is_public(ip_address("2606:4700:0::1"))
    assert not near.is_public(ip_address("127.0.0.1"))
    assert near.is_public(ip_address("8.8.8.8"))


def test_this_machines_interfaces_are_among_the_neighbours() -> None:
    from deployments.links.neighbours import found

    assert "127.0.0.1" in set(found())
