"""What the fetcher takes from the web: within limits of bytes and time, over TLS with the name."""

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

from deployments.errors import DeploymentError, LinkError, TooLargeError
from deployments.links.fetcher import Fetched, Fetcher
from tests.support.sites import PUBLIC, Names, Site, http, is_public, moved

MOST = 1 << 20


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
