"""An ASGI application on a socket of this machine, so that its clients are real and can go away."""

import asyncio
import concurrent.futures
import queue
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

import uvicorn
from starlette.types import ASGIApp


@asynccontextmanager
async def serving(app: ASGIApp) -> AsyncIterator[str]:
    """Serve the application in this event loop, without its lifespan; its URL."""
    config = uvicorn.Config(
        app, lifespan="off", log_config=None, access_log=False, timeout_graceful_shutdown=5
    )
    server = uvicorn.Server(config)
    with socket.socket(proto=socket.IPPROTO_TCP) as listening:  # asyncio sends at once for TCP that is named
        listening.bind(("127.0.0.1", 0))
        listening.listen(64)
        work = asyncio.create_task(server.serve(sockets=[listening]))
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            await work


@contextmanager
def threaded(app: ASGIApp) -> Iterator[str]:
    """Serve the application in a thread with an event loop of its own, for clients that block; its URL."""
    begun: queue.SimpleQueue[tuple[str, Callable[[], object]]] = queue.SimpleQueue()

    async def serve() -> None:
        loop, ended = asyncio.get_running_loop(), asyncio.Event()
        async with serving(app) as url:
            begun.put((url, lambda: loop.call_soon_threadsafe(ended.set)))
            await ended.wait()

    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        work = pool.submit(asyncio.run, serve())
        url, end = begun.get(timeout=60)
        try:
            yield url
        finally:
            end()
            work.result()
