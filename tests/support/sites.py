"""Web servers for tests of links: one that counts as public, and canaries that nobody may reach.

The public one listens on 127.0.0.2, the canaries on the same port of 127.0.0.1 and ::1. Beside what they
see, Python's own audit tells every address that this process as much as tries to connect to, and every name
that it looks up by itself.
"""

import asyncio
import socket
import ssl
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from ipaddress import ip_address

from deployments.links import addresses
from deployments.links.addresses import Address

PUBLIC = "127.0.0.2"
"""The address that counts as public in these tests."""

Answer = bytes | Callable[[socket.socket], None]
"""What is sent to a request: bytes as they are, or whatever is done with the connection."""


def is_public(address: Address) -> bool:
    """The product's own answer, but for the one server of the tests."""
    return str(address) == PUBLIC or addresses.is_public(address)


def http(
    body: bytes = b"",
    *headers: str,
    status: str = "200 OK",
    kind: str = "text/plain",
    size: int | None = None,
) -> bytes:
    """An answer of a web server, as it goes over the wire."""
    length = len(body) if size is None else size
    lines = [f"HTTP/1.1 {status}", f"Content-Type: {kind}", f"Content-Length: {length}", *headers, "", ""]
    return "\r\n".join(line for line in lines if not line.startswith("Content-Type: -")).encode() + body


def moved(location: str, status: str = "302 Found") -> bytes:
    """A redirect."""
    return http(b"", f"Location: {location}", status=status)


class Site:
    """A web server with answers by path; ``asked`` holds the heads of the requests that came."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.answers: dict[str, Answer] = {}
        self.asked: list[str] = []
        self._tls = tls
        self._listener = socket.create_server((PUBLIC, 0))
        self.port = int(self._listener.getsockname()[1])
        self._ends = threading.Event()
        self._workers: list[threading.Thread] = []
        self._acceptor = threading.Thread(target=self._accept)
        self._acceptor.start()

    def url(self, path: str = "/", host: str = "site.example", scheme: str = "http") -> str:
        """A link to it."""
        return f"{scheme}://{host}:{self.port}{path}"

    def close(self) -> None:
        """End it, and wait for what it is at."""
        self._ends.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._acceptor.join()
        for worker in self._workers:
            worker.join()

    def _accept(self) -> None:
        while not self._ends.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            worker = threading.Thread(target=self._serve, args=(connection,))
            self._workers.append(worker)
            worker.start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            connection.settimeout(10)
            wrapped = self._tls.wrap_socket(connection, server_side=True) if self._tls else connection
            with wrapped:
                head = b""
                while b"\r\n\r\n" not in head and (piece := wrapped.recv(65536)):
                    head += piece
                self.asked.append(head.decode("latin-1"))
                path = head.split(b" ")[1].decode("latin-1") if b" " in head else ""
                answer = self.answers.get(path, http(b"", status="404 Not Found"))
                if callable(answer):
                    answer(wrapped)
                else:
                    wrapped.sendall(answer)


class Canary:
    """Listens where nobody may come; ``visits`` counts who came all the same."""

    def __init__(self, host: str, port: int, family: socket.AddressFamily) -> None:
        self.visits = 0
        self._listener = socket.create_server((host, port), family=family)
        self._thread = threading.Thread(target=self._count)
        self._thread.start()

    def _count(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self.visits += 1
                connection.close()

    def close(self) -> None:
        """End it."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()


class Watch:
    """What this process's own sockets were told to do while it is watched."""

    def __init__(self) -> None:
        self.connects: list[str] = []
        self.lookups: list[str] = []

    def refused(self) -> list[str]:
        """The addresses connected to, or tried, that nobody may connect to."""
        return [host for host in self.connects if not is_public(ip_address(host))]


class _Audit:
    """Python's audit hook, which cannot be taken out again; it tells whoever watches now."""

    def __init__(self) -> None:
        self.watch: Watch | None = None
        self._set = False

    def begin(self, watch: Watch) -> None:
        if not self._set:
            sys.addaudithook(self._told)
            self._set = True
        self.watch = watch

    def _told(self, event: str, args: tuple[object, ...]) -> None:
        watch = self.watch
        if watch is None:
            return
        if event == "socket.connect" and isinstance(args[1], tuple):
            watch.connects.append(str(args[1][0]))
        elif event == "socket.getaddrinfo":
            watch.lookups.append(str(args[0]))


_AUDIT = _Audit()


@contextmanager
def watched() -> Iterator[Watch]:
    """Watch this process's sockets for a while."""
    watch = Watch()
    _AUDIT.begin(watch)
    try:
        yield watch
    finally:
        _AUDIT.watch = None


class Names:
    """A name server: each name gives its answers in turn, the last one again and again."""

    def __init__(self, **answers: Sequence[Sequence[str]]) -> None:
        self.answers = {name.replace("_", "."): list(turns) for name, turns in answers.items()}
        self.asked: list[str] = []

    async def resolve(self, host: str, port: int) -> Sequence[str]:
        """What a fetcher asks.

        Raises:
            OSError: there is no such name.

        """
        self.asked.append(host)
        await asyncio.sleep(0)
        turns = self.answers.get(host)
        if turns is None:
            raise OSError("no such name")
        return turns.pop(0) if len(turns) > 1 else turns[0]
