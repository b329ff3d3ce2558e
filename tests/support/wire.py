"""HTTP/1.1 as a server speaks it, over asyncio and h11."""

import asyncio
from collections.abc import Mapping
from typing import Any

import h11


class Wire:
    """The server's end of one connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._state = h11.Connection(h11.SERVER)

    async def request(self) -> tuple[h11.Request, bytes] | None:
        """The next request; None where the client has left."""
        if self._state.our_state is h11.DONE:
            self._state.start_next_cycle()
        head: h11.Request | None = None
        content = b""
        while True:
            event = self._state.next_event()
            if event is h11.NEED_DATA:
                self._state.receive_data(await self._reader.read(1 << 16))
            elif isinstance(event, h11.Request):
                head = event
            elif isinstance(event, h11.Data):
                content += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage) and head is not None:
                return head, content
            else:
                return None

    async def left(self) -> None:
        """Wait until the client has closed the connection; what it sends meanwhile is its next request."""
        while True:
            try:
                data = await self._reader.read(1 << 16)
            except ConnectionError:
                return
            self._state.receive_data(data)
            if not data:
                return

    async def whole(self, status: int, text: str, headers: Mapping[str, str]) -> None:
        body = text.encode()
        usual = {"content-type": "application/json", "content-length": str(len(body))}
        await self._send(h11.Response(status_code=status, headers=list((usual | dict(headers)).items())))
        await self._send(h11.Data(data=body))
        await self.end()

    async def begin(self, headers: Mapping[str, str]) -> None:
        usual = {"content-type": "text/event-stream; charset=utf-8", "transfer-encoding": "chunked"}
        await self._send(h11.Response(status_code=200, headers=list((usual | dict(headers)).items())))

    async def line(self, text: str) -> None:
        await self._send(h11.Data(data=text.encode()))

    async def end(self) -> None:
        await self._send(h11.EndOfMessage())

    async def _send(self, event: Any) -> None:
        data = self._state.send(event)
        if data:
            self._writer.write(data)
            await self._writer.drain()
