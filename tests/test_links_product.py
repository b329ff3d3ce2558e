"""Web links on a real cluster: a page and a picture from a server of the tests, and what is refused."""

from collections.abc import Iterator
from typing import Any

import httpx2
import psutil
import pytest

from tests.deployments.samples import picture
from tests.deployments.test_links import ARTICLE
from tests.support.cluster import replicas
from tests.support.linked import linked
from tests.support.sites import Site, http


@pytest.fixture(scope="module")
def site(product: str) -> Iterator[Site]:
    found = Site()
    with linked(most=20 << 20):
        yield found
    found.close()


def _run(client: httpx2.Client, text: str, **more: Any) -> Any:
    answer = client.post("/v1/runs", json={"messages": [{"role": "user", "content": text}], **more})
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_a_page_is_summarized_and_the_answer_names_it(http_client: httpx2.Client, site: Site) -> None:
    site.answers |= {"/old": http(b"", "Location: /whales", status="301 Moved"), "/whales": _page()}
    told = _run(http_client, f"Summarize {site.url('/old')} and read the summary aloud")
    summary, voice = told["run"]["outcomes"]
    assert summary["status"] == voice["status"] == "done"
    assert "whale" in summary["text"]
    (link,) = summary["links"]
    assert (link["url"], link["source"]) == (site.url("/old"), site.url("/whales"))
    assert (link["argument"], link["title"], link["cut"]) == ("text", "On whales", False)
    assert summary["args"] == {"text": link["path"]}
    assert "krill" in http_client.get(link["path"]).text
    assert f"Read from the web: “{site.url('/old')}”." in told["run"]["answer"]


def test_a_large_picture_comes_past_the_controller(http_client: httpx2.Client, site: Site) -> None:
    site.answers["/a.bmp"] = http(_large(), kind="image/bmp")
    (pid,) = replicas("hugginggpt")
    process = psutil.Process(pid)
    request = f"Show me the edges of {site.url('/a.bmp')}"
    _run(http_client, request)
    before = process.memory_full_info().uss
    for _ in range(3):
        (edges,) = _run(http_client, request)["run"]["outcomes"]
        assert edges["status"] == "done"
        assert edges["args"]["image"].startswith("/images/")
    assert process.memory_full_info().uss - before < 8 << 20


def test_an_attached_link_is_fetched_too(http_client: httpx2.Client, site: Site) -> None:
    site.answers["/whales"] = _page()
    told = _run(http_client, "Summarize it", attachments=[site.url("/whales")])
    assert "whale" in told["run"]["outcomes"][0]["text"]


@pytest.mark.parametrize(
    ("link", "why"),
    [
        ("http://127.0.0.1:8265/a.png", None),
        ("http://0x7f000001/a.png", "unusual way"),
        ("http://169.254.169.254/a.png", "not of the public web"),
        ("http://metadata.google.internal/a.png", "no host of the public web"),
        ("http://nobody.example/a.png", "no host of that name"),
        ("SITE/page.png", "It holds a page, but a picture is needed"),
        ("SITE/none.png", "status 404"),
        ("SITE/away.png", "not of the public web"),
    ],
)
def test_what_is_refused_says_why(http_client: httpx2.Client, site: Site, link: str, why: str | None) -> None:
    site.answers |= {
        "/page.png": _page(),
        "/away.png": http(b"", f"Location: http://127.0.0.1:{site.port}/", status="302 Found"),
    }
    text = f"Show me the edges of {link.replace('SITE', site.url('').rstrip('/'))}"
    answer = http_client.post("/v1/runs", json={"messages": [{"role": "user", "content": text}]})
    assert answer.status_code == 422
    error = answer.json()["error"]
    assert error["code"] == "invalid_attachment"
    assert (why or "There is no file") in error["message"]


@pytest.fixture
def http_client(http: httpx2.Client) -> httpx2.Client:
    """The endpoint's client, by a name that is not the helper's."""
    return http


def _page() -> bytes:
    return http(ARTICLE.encode(), kind="text/html; charset=utf-8")


def _large() -> bytes:
    import numpy as np
    from PIL import Image

    noise = np.random.default_rng(7).integers(0, 256, (1900, 1700, 3), dtype=np.uint8)
    return picture("BMP", Image.fromarray(noise))
