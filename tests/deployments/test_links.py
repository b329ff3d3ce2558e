"""What links give: pages as text in any encoding, files as what their bytes say, and nothing that harms."""

import time
from ipaddress import ip_address

import pytest

from deployments.account import Artifact
from deployments.errors import LinkError
from deployments.links import page
from deployments.links.fetcher import Fetched
from deployments.links.links import Links
from deployments.links.neighbours import Neighbours, found
from deployments.media import File, modality_of
from model_catalog.tasks import Modality
from tests.deployments.samples import FILMS, PICTURES, SOUNDS

MOST = 1 << 20

ARTICLE = """<!doctype html><html><head><title>On  whales</title><script>steal()</script></head><body>
<nav><a href="/">Home</a> <a href="/about">About</a></nav>
<article><h1>On whales</h1>
<p>The blue whale is the largest animal that is known to have lived. It may be thirty metres long.</p>
<p>It feeds on krill, of which it takes up to four tonnes a day, and travels between cold and warm seas.</p>
<p>Since the hunt for it was ended, its numbers have grown again; there may be twenty thousand by now.</p>
</article><footer>Cookies and terms</footer></body></html>"""


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


def test_public_addresses_of_this_machine_and_its_cluster_are_refused() -> None:
    near = Neighbours(lambda: ["8.8.4.4", "2606:4700::1", "fe80::1%eth0", "02:42:ac:11:00:02"])
    assert near.is_public(ip_address("8.8.4.4"))  # nobody has looked yet
    near.look()
    assert not near.is_public(ip_address("8.8.4.4"))
    assert not near.is_public(ip_address("2606:4700:0::1"))
    assert not near.is_public(ip_address("127.0.0.1"))
    assert near.is_public(ip_address("8.8.8.8"))


def test_this_machines_interfaces_are_among_the_neighbours() -> None:
    assert "127.0.0.1" in set(found())
