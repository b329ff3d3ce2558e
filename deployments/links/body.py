"""Body: what a web server sends, read with a bound, packed or not."""

import zlib
from collections.abc import AsyncIterator

from deployments.errors import LinkError, TooLargeError

_PACKED = frozenset({"gzip", "x-gzip"})


class Body:
    """Takes the pieces of a body, and unpacks them; neither form may pass the limit."""

    def __init__(self, most: int, encoding: str, declared: str) -> None:
        """Prepare to read.

        Args:
            most: the most bytes, packed and unpacked.
            encoding: the ``Content-Encoding``.
            declared: the ``Content-Length``.

        Raises:
            LinkError: it is packed in a way that is not read.
            TooLargeError: it declares more than the limit.

        """
        self._most = most
        named = encoding.strip().lower()
        if named not in (*_PACKED, "", "identity"):
            raise LinkError("It came packed in a way that is not read.")
        self._unpacker = zlib.decompressobj(16 + zlib.MAX_WBITS) if named in _PACKED else None
        self._came = 0
        self._held = bytearray()
        if declared.isascii() and declared.isdigit() and int(declared[:20]) > most:
            raise self._too_large()

    async def read(self, pieces: AsyncIterator[bytes]) -> bytes:
        """The whole of it.

        Raises:
            LinkError: it is damaged.
            TooLargeError: it is over the limit; no more of it is read then.

        """
        async for piece in pieces:
            self._take(piece)
        if self._unpacker is not None and not self._unpacker.eof:
            raise LinkError("What came is damaged.")
        return bytes(self._held)

    def _take(self, piece: bytes) -> None:
        self._came += len(piece)
        room = self._most - len(self._held)
        if self._unpacker is not None:
            try:
                piece = self._unpacker.decompress(piece, room + 1)
            except zlib.error:
                raise LinkError("What came is damaged.") from None
        if self._came > self._most or len(piece) > room:
            raise self._too_large()
        self._held += piece

    def _too_large(self) -> TooLargeError:
        return TooLargeError(f"It is over {self._most / 2**20:.3g} MiB, the most that is fetched.")
