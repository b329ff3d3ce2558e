"""Fetcher: the one guarded way to the web.

Each hop is read, resolved once, checked and pinned: the connection goes to an address that was checked,
whatever the name may lead to a moment later, with the name in TLS and in ``Host``. Redirects are followed by
hand, each as a link of its own. There is no proxy of the environment, no cookie, no kept connection and no
referrer.
"""

import asyncio
import logging
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from email.message import Message
from functools import cached_property
from importlib.metadata import version
from ssl import SSLContext

from httpx2 import (
    AsyncHTTPTransport,
    ConnectError,
    ConnectTimeout,
    HTTPError,
    Request,
    Response,
    TimeoutException,
    create_ssl_context,
)

from deployments.errors import LinkError
from deployments.links import addresses, link
from deployments.links.addresses import Address
from deployments.links.body import Body
from deployments.links.link import Link

logger = logging.getLogger("ray.serve")

SECONDS = 20.0
"""How long a link may take with all its redirects, from the first look-up to the last byte."""

MOST_REDIRECTS = 5
"""How many redirects are followed."""

_CONNECT_S = 5.0
_READ_S = 10.0
_LONGEST_TYPE = 200
_AGENT = f"hugginggpt-serve/{version('hugginggpt-serve')} (reads a link that a person gave)"
_MOST_TRIED = 3  # addresses of one name
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_TIMES = {"connect": _CONNECT_S, "read": _READ_S, "write": _READ_S, "pool": _CONNECT_S}

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""Gives the addresses of a name; raises OSError where it has none."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """What a link gave.

    Attributes:
        data: the bytes, unpacked.
        media_type: what the server says they are, in lower case, without parameters.
        charset: the encoding of text that it names; empty where it names none.
        url: where they came from, after all redirects.

    """

    data: bytes
    media_type: str
    charset: str
    url: str


async def resolved(host: str, port: int) -> list[str]:
    """The addresses of a name, as this machine resolves it.

    Raises:
        OSError: it has none.

    """
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    return [str(address[0]) for *_, address in found]


class Fetcher:
    """Fetches links, within limits of bytes and time."""

    def __init__(
        self,
        most: int,
        *,
        seconds: float = SECONDS,
        resolve: Resolve = resolved,
        is_public: Callable[[Address], bool] = addresses.is_public,
    ) -> None:
        """Prepare to fetch.

        Args:
            most: the most bytes of one link, as sent and as unpacked.
            seconds: how long one may take.
            resolve: gives the addresses of a name; called once for each hop.
            is_public: says whether an address may be connected to.

        """
        self._most = most
        self._seconds = seconds
        self._resolve = resolve
        self._is_public = is_public

    @cached_property
    def _tls(self) -> SSLContext:
        """Made once: it reads every certificate that is trusted."""
        return create_ssl_context()

    async def fetch(self, text: str, accept: str = "*/*") -> Fetched:
        """What a link gives.

        Args:
            text: the link.
            accept: the kinds of media that are asked for.

        Raises:
            LinkError: it is not followed, or its server gives nothing.
            TooLargeError: it gives too much.

        """
        began = time.monotonic()
        try:
            async with asyncio.timeout(self._seconds):
                fetched = await self._followed(link.read(text), accept)
        except (TimeoutError, TimeoutException):
            raise LinkError("Its server did not answer in time; try again later.") from None
        except HTTPError:
            raise LinkError("Its server cannot be reached, or broke off; try again later.") from None
        logger.info(
            "a link gave %d bytes of %s after %.2f s",
            len(fetched.data), fetched.media_type, time.monotonic() - began,
        )  # fmt: skip
        return fetched

    async def _followed(self, wanted: Link, accept: str) -> Fetched:
        """The end of a chain of redirects."""
        for _ in range(MOST_REDIRECTS + 1):
            async with self._asked(wanted, accept) as answer:
                if answer.status_code not in _REDIRECTS:
                    return await self._read(wanted, answer)
                location = answer.headers.get("location", "")
            if not location:
                raise LinkError("It redirects to nowhere.")
            wanted = wanted.to(location)
        raise LinkError(f"It redirects more than {MOST_REDIRECTS} times.")

    async def _read(self, wanted: Link, answer: Response) -> Fetched:
        if answer.status_code != 200:
            raise LinkError(f"Its server answers with status {answer.status_code}; look whether it is right.")
        headers = answer.headers
        body = Body(self._most, headers.get("content-encoding", ""), headers.get("content-length", ""))
        data = await body.read(answer.aiter_raw())
        kind = Message()
        kind["content-type"] = headers.get("content-type", "")[:_LONGEST_TYPE]
        charset = kind.get_content_charset("") if "content-type" in headers else ""
        media_type = kind.get_content_type() if "content-type" in headers else ""
        return Fetched(data, media_type, charset, str(wanted.url))

    @asynccontextmanager
    async def _asked(self, wanted: Link, accept: str) -> AsyncIterator[Response]:
        """The answer of a link's server, at the first of its addresses that takes a connection."""
        found = await self._addresses(wanted)
        for place, address in enumerate(found, 1):
            async with AsyncHTTPTransport(verify=self._tls) as transport:
                try:
                    answer = await transport.handle_async_request(_request(wanted, address, accept))
                except (ConnectError, ConnectTimeout):
                    if place == len(found):
                        raise
                    continue
                try:
                    yield answer
                finally:
                    await answer.aclose()
                return

    async def _addresses(self, wanted: Link) -> list[Address]:
        """The addresses of a link, every one of them checked.

        Raises:
            LinkError: it has none, or one of them is not public.

        """
        literal = addresses.read(wanted.host)
        if literal is not None:
            found: list[Address | None] = [literal]
        else:
            try:
                found = [addresses.read(text) for text in await self._resolve(wanted.host, wanted.port)]
            except (OSError, UnicodeError):
                found = []
        if not found:
            raise LinkError("There is no host of that name.")
        known = [address for address in dict.fromkeys(found) if address is not None]
        if None in found or not all(map(self._is_public, known)):
            raise LinkError("It leads to an address that is not of the public web.")
        return known[:_MOST_TRIED]


def _request(wanted: Link, address: Address, accept: str) -> Request:
    """A request that goes to an address, and is one for the link's name."""
    headers = {
        "Host": wanted.netloc,
        "User-Agent": _AGENT,
        "Accept": accept,
        "Accept-Encoding": "gzip",
        "Connection": "close",
    }
    extensions = {"timeout": _TIMES, "sni_hostname": wanted.host}
    return Request("GET", wanted.pinned(address), headers=headers, extensions=extensions)
