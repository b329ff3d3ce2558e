"""The links deployment: fetches what a web link names, and has it stored as a file of who asked."""

import asyncio
import base64
import logging
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from importlib.util import find_spec
from typing import Any

from ray import serve

from deployments import aside, fleet
from deployments.account import Artifact
from deployments.errors import ExpertError, LinkError
from deployments.links.fetcher import Fetched, Fetcher
from deployments.links.neighbours import Neighbours
from deployments.links.reading import Read
from deployments.media import LIMITS, File, Limits, extension, media_type, modality_of, sniff
from model_catalog.tasks import Modality

logger = logging.getLogger("ray.serve")

PAGE_BYTES = 5 << 20
"""The most bytes of a page or text that are read."""

AT_ONCE = 8
"""How many links are fetched at a time; each may take memory for several times its bytes."""

WAITING = 64
"""How many more may wait for that; the next one is refused at once."""

_PAGES = frozenset({"text/html", "application/xhtml+xml"})
_TEXTS = re.compile(r"text/.+|application/(?:.+\+)?(?:json|xml|yaml)")
_BEGINS = re.compile(rb"(?:\xef\xbb\xbf)?\s{0,200}<(?:!doctype\s+html|html)", re.IGNORECASE)
_UNNAMED = re.compile(r"[^\w.-]+")
_LONGEST_STEM = 60

_ACCEPTS = {
    Modality.TEXT: "text/html, application/xhtml+xml, text/plain;q=0.9, */*;q=0.5",
    Modality.IMAGE: "image/png, image/jpeg, image/webp;q=0.9, image/gif;q=0.8, */*;q=0.1",
}
"""What is asked for first; other kinds of picture than these are not read."""


_WORDS = {
    Modality.TEXT: "a text",
    Modality.IMAGE: "a picture",
    Modality.AUDIO: "a recording",
    Modality.VIDEO: "a film",
    Modality.TABLE: "a table",
    Modality.DATA: "data",
}


Keep = Callable[[File, str, str], Awaitable[Artifact]]
"""Stores a file, under a name, for an owner; see ``Artifacts.keep``."""


async def _keep(file: File, name: str, owner: str) -> Artifact:
    """Give a file to the artifact deployment; it goes there past whoever asked for the link."""
    handle: Any = serve.get_app_handle(fleet.ARTIFACTS).options(_by_reference=True)
    artifact: Artifact = await handle.keep.remote(file, name, owner)
    return artifact


class Links:
    """Reads links; a Serve deployment, and a plain class for tests."""

    def __init__(
        self,
        most: int,
        most_characters: int = LIMITS.max_text_characters,
        *,
        fetch: Callable[[str, str], Awaitable[Fetched]] | None = None,
        keep: Keep = _keep,
    ) -> None:
        """Prepare to read.

        Args:
            most: the most bytes of one link.
            most_characters: the most of a text; of a longer one the beginning is kept.
            fetch: gives what a link and the kinds of media wanted lead to; the guarded fetcher by default.
            keep: stores a file.

        """
        self._most_characters = most_characters
        self._neighbours = Neighbours()
        self._fetch = fetch or Fetcher(most, is_public=self._neighbours.is_public).fetch
        self._keep = keep

    async def read(self, url: str, wanted: Sequence[Modality] = (), owner: str = "") -> Read:
        """Fetch what a link names and store it: a page's readable text, or the file itself.

        Args:
            url: the link.
            wanted: what it may hold, the likeliest first; empty for anything.
            owner: whose the stored file is.

        Raises:
            LinkError: it is not followed, gives nothing, or something else than is wanted.
            TooLargeError: it gives too much.
            MediaError: it gives a broken file, or one of a kind that is not taken.

        """
        await asyncio.to_thread(self._neighbours.look)
        accept = _ACCEPTS.get(wanted[0], "*/*") if wanted else "*/*"
        fetched = await self._fetch(url, accept)
        kind = _kind(fetched, wanted)
        title, cut, data = "", False, fetched.data
        if kind in ("text/html", "text/plain"):
            told = await self._text(fetched, kind == "text/html")
            title, cut, data = told["title"], told["cut"], told["text"].encode()
            kind = "text/plain"
        artifact = await self._keep(File(data, kind), _name(fetched.url, kind), owner)
        return Read(artifact=artifact, url=fetched.url, title=title, cut=cut)

    async def _text(self, fetched: Fetched, is_page: bool) -> Mapping[str, Any]:
        """The readable text, taken out in a process of its own."""
        if len(fetched.data) > PAGE_BYTES:
            raise LinkError(f"It is a text over {PAGE_BYTES >> 20} MiB, the most that is read.")
        if is_page and find_spec("trafilatura") is None:
            raise LinkError("This server reads no pages; it needs pip install 'hugginggpt-serve[links]'.")
        asked = {
            "data": base64.b64encode(fetched.data).decode(),
            "charset": fetched.charset[:40],
            "is_page": is_page,
            "most": self._most_characters,
        }
        try:
            told = await asyncio.to_thread(
                aside.ask, "deployments.links.page", asked, aside.environment(), logger.debug
            )
        except ExpertError:
            raise LinkError("It is too large or too tangled to be read.") from None
        if not told["text"]:
            raise LinkError("It holds no text; pages that scripts write cannot be read.")
        return told


def _kind(fetched: Fetched, wanted: Sequence[Modality]) -> str:
    """What a link gave, by its bytes; only between texts what its server says counts.

    Raises:
        LinkError: it is nothing that is read, or not what is wanted.

    """
    found = sniff(fetched.data[:4096])
    if found is None or found == "text/plain":
        found = _text_kind(fetched, found is not None, wanted)
    is_page = found == "text/html"
    holds = Modality.TEXT if is_page else modality_of(found)
    if wanted and (holds not in wanted or (is_page and wanted[0] is not Modality.TEXT)):
        held = "a page" if is_page else _WORDS[holds]
        raise LinkError(f"It holds {held}, but {_WORDS[wanted[0]]} is needed.")
    return found


def _text_kind(fetched: Fetched, is_utf8: bool, wanted: Sequence[Modality]) -> str:
    data, said = fetched.data, fetched.media_type
    if not data:
        raise LinkError("It is empty.")
    marked = data.startswith((b"\xff\xfe", b"\xfe\xff"))
    if not is_utf8 and ((b"\0" in data[:4096] and not marked) or data.startswith(b"%PDF-")):
        raise LinkError("It holds a kind of file that is not read.")
    if said in _PAGES or (_BEGINS.match(data) and said not in ("text/csv", "application/json")):
        return "text/html"
    if not is_utf8 and not _TEXTS.fullmatch(said):
        raise LinkError("It holds a kind of file that is not read.")
    if wanted[:1] == (Modality.TABLE,) or (not wanted and said == "text/csv"):
        return "text/csv"
    if not wanted and media_type(data, "x.json" if said == "application/json" else "") != "text/plain":
        return "application/json"
    return "text/plain"


def _name(url: str, kind: str) -> str:
    """A name for the file: the end of the link's path, with the ending of what it holds."""
    last = url.partition("?")[0].rstrip("/").rpartition("/")[2]
    stem = _UNNAMED.sub("-", last.rpartition(".")[0] or last).strip("-.")[:_LONGEST_STEM]
    return f"{stem or 'link'}.{extension(kind)}"


def links_app(
    most: int, limits: Limits = LIMITS, resources: Mapping[str, float] | None = None
) -> serve.Application:
    """The links application.

    Args:
        most: the most bytes of one link.
        limits: what one file may be.
        resources: Ray resources that place it, on a node that reaches the web.

    """
    deployment = serve.deployment(
        Links,
        name="links",
        max_ongoing_requests=AT_ONCE,
        max_queued_requests=WAITING,
        ray_actor_options={"num_cpus": 0, "resources": dict(resources or {})},
        health_check_period_s=fleet.HEALTH_PERIOD_S,
        graceful_shutdown_wait_loop_s=0.1,
        graceful_shutdown_timeout_s=fleet.DRAIN_S,
    )
    return deployment.bind(min(most, limits.max_bytes), limits.max_text_characters)
