"""A scripted LLM endpoint on loopback: a real HTTP server that speaks OpenAI's chat completions.

    with ScriptedEndpoint(["Hello.", limited(1), Reply("Slow.", rate=50)]) as endpoint:
        ...  # ask endpoint.url; look at endpoint.requests

Answers are taken from a list, one a call, or made by a function of the request. What it takes of a request
can be narrowed (``refuses``), as that of real servers is; schemas are held to OpenAI's rules for strict ones.
"""

import asyncio
import json
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

import h11

from tests.support import strict
from tests.support.scripts import REFUSALS, Reply, broken, limited, problem
from tests.support.wire import Wire

__all__ = ["Asked", "Reply", "ScriptedEndpoint", "broken", "limited", "problem"]

NEVER = ("max_tokens", "logit_bias")
"""What no request may ask for, as there are endpoints that refuse it."""

Answer = Reply | str
Script = Answer | Iterable[Answer] | Callable[["Asked"], Answer]

_PLAIN = "/v1/chat/completions"


@dataclass
class Asked:
    """A request, and what became of it.

    Attributes:
        body: its JSON.
        headers: its headers, with names in lower case.
        target: its path and query.
        at: when it came, on the monotonic clock.
        status: what it was answered with.
        sent: how many pieces of the answer were sent.
        whole: whether the answer was sent to its end.
        gone: whether the client left before that.
        over: set when either is known.

    """

    body: dict[str, Any]
    headers: dict[str, str]
    target: str
    at: float
    status: int = 0
    sent: int = 0
    whole: bool = False
    gone: bool = False
    over: threading.Event = field(default_factory=threading.Event)

    @property
    def messages(self) -> list[dict[str, str]]:
        """The conversation."""
        return list(self.body["messages"])

    @property
    def system(self) -> str:
        """The system's messages, one after the other."""
        return "\n".join(item["content"] for item in self.messages if item["role"] == "system")

    @property
    def user(self) -> str:
        """The last message of the user."""
        return next((item["content"] for item in reversed(self.messages) if item["role"] == "user"), "")

    @property
    def format(self) -> str:
        """How the answer is to be shaped: ``json_schema``, ``json_object`` or ``text``."""
        return str(self.body.get("response_format", {}).get("type", "text"))

    @property
    def schema(self) -> dict[str, Any] | None:
        """The schema the answer is to fit."""
        found = self.body.get("response_format", {}).get("json_schema", {}).get("schema")
        return dict(found) if found else None


class ScriptedEndpoint:
    """The server; a context manager.

    Attributes:
        requests: every request so far, refused ones too.
        most_at_once: how many answers were written at the same time at most.
        connections: how many were opened.

    """

    def __init__(
        self,
        script: Script = (),
        *,
        rate: float = 0.0,
        refuses: Collection[str] | Mapping[str, Reply] = (),
        key: str | None = None,
    ) -> None:
        """Make a server that is not yet started.

        Args:
            script: the answers: one for every call, one after the other, or by a function of the request.
            rate: tokens each second; 0 for all at once.
            refuses: what it takes not, of ``REFUSALS``; with a Reply of one's own where it is a mapping.
            key: the key it wants; None for any or none.

        """
        self.rate = rate
        self.key = key
        own = refuses if isinstance(refuses, Mapping) else {name: REFUSALS[name] for name in refuses}
        self.refuses: dict[str, Reply] = {name: REFUSALS[name] for name in NEVER} | dict(own)
        self.requests: list[Asked] = []
        self.most_at_once = 0
        self.connections = 0
        self._at_once = 0
        self._queue: deque[Answer] = deque()
        self._answer: Callable[[Asked], Answer] | None = None
        self._arrival = threading.Condition()
        self._open: set[asyncio.Task[None]] = set()
        self.say(script)

    # For tests ---------------------------------------------------------------------------------------------

    def say(self, script: Script) -> None:
        """Give further answers; a text, Reply or function is for every call from now on."""
        if isinstance(script, Reply | str):
            fixed = script
            self._answer = lambda _: fixed
        elif callable(script):
            self._answer = script
        else:
            self._queue.extend(script)

    @property
    def host(self) -> str:
        """Address and port."""
        return f"127.0.0.1:{self._port}"

    @property
    def url(self) -> str:
        """The base URL, as of OpenAI's own endpoint."""
        return f"http://{self.host}/v1"

    @property
    def azure_url(self) -> str:
        """The address of the resource, as of Azure."""
        return f"http://{self.host}"

    def wait_for(self, count: int, timeout: float = 10.0) -> list[Asked]:
        """Wait until so many requests have come, and give them.

        Raises:
            TimeoutError: they did not come.

        """
        with self._arrival:
            if not self._arrival.wait_for(lambda: len(self.requests) >= count, timeout):
                raise TimeoutError(f"only {len(self.requests)} of {count} requests came")
            return list(self.requests)

    def __enter__(self) -> Self:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="scripted endpoint", daemon=True)
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._begin(), self._loop).result(10)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    # The server --------------------------------------------------------------------------------------------

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    async def _begin(self) -> None:
        self._server = await asyncio.start_server(self._connection, "127.0.0.1", 0)
        self._port: int = self._server.sockets[0].getsockname()[1]

    async def _end(self) -> None:
        self._server.close()
        for task in self._open:
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection, one after the other."""
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        self.connections += 1
        wire = Wire(reader, writer)
        try:
            while (request := await wire.request()) is not None:
                if not await self._answered(wire, *request):
                    break
        except (ConnectionError, h11.RemoteProtocolError, asyncio.CancelledError):
            pass  # the client or the server left
        finally:
            self._open.discard(task)
            writer.transport.abort()

    async def _answered(self, wire: Wire, head: h11.Request, content: bytes) -> bool:
        """Answer one request; False where the connection is of no more use."""
        headers = {name.decode().lower(): value.decode() for name, value in head.headers}
        asked = Asked(json.loads(content or b"{}"), headers, head.target.decode(), time.monotonic())
        reply = self._reply(asked)
        asked.status = reply.status
        with self._arrival:
            self.requests.append(asked)
            self._arrival.notify_all()
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)
        leaving = asyncio.create_task(wire.left())
        writing = asyncio.create_task(self._write(wire, asked, reply))
        try:
            await asyncio.wait({leaving, writing}, return_when=asyncio.FIRST_COMPLETED)
            written = writing.done() and writing.exception() is None
            asked.gone = not written
            return written and writing.result()
        finally:
            self._at_once -= 1
            for task in (leaving, writing):
                task.cancel()
            await asyncio.gather(leaving, writing, return_exceptions=True)
            asked.over.set()

    def _reply(self, asked: Asked) -> Reply:
        """What a request is answered with: a refusal of the server's own, or the script's next answer."""
        return self._misplaced(asked) or self._untaken(asked) or self._scripted(asked)

    def _misplaced(self, asked: Asked) -> Reply | None:
        parts = urlsplit(asked.target)
        azure = parts.path.startswith("/openai/deployments/") and "api-version" in parse_qs(parts.query)
        if not (parts.path == _PLAIN or (azure and parts.path.endswith("/chat/completions"))):
            return Reply(status=404, error={"error": {"code": "404", "message": "Resource not found"}})
        given = asked.headers.get("api-key") if azure else asked.headers.get("authorization")
        wanted = self.key if azure or self.key is None else f"Bearer {self.key}"
        if self.key is not None and given != wanted:
            message = f"Incorrect API key provided: {given}. You can find your API key at your account."
            return Reply(status=401, error=problem(message, code="invalid_api_key"))
        return None

    def _untaken(self, asked: Asked) -> Reply | None:
        for name, refusal in self.refuses.items():
            if name in asked.body or name == asked.format:
                return refusal
        if asked.format == "json_schema":
            fault = strict.fault(asked.body["response_format"].get("json_schema"))
            return Reply(status=400, error=problem(fault, param="response_format")) if fault else None
        spoken = " ".join(str(item.get("content")) for item in asked.messages).lower()
        if asked.format == "json_object" and "json" not in spoken:
            message = (
                "'messages' must contain the word 'json' in some form, to use 'response_format' of type "
                "'json_object'."
            )
            return Reply(status=400, error=problem(message, param="messages"))
        return None

    def _scripted(self, asked: Asked) -> Reply:
        answer: Answer
        if self._queue:
            answer = self._queue.popleft()
        elif self._answer is not None:
            answer = self._answer(asked)
        else:
            answer = Reply(status=410, error=problem("The script has no answer left."))
        return Reply(answer) if isinstance(answer, str) else answer

    # Answers -----------------------------------------------------------------------------------------------

    async def _write(self, wire: Wire, asked: Asked, reply: Reply) -> bool:
        """Write an answer; False where the connection was cut."""
        number = f"scripted-{len(self.requests)}"
        azure = asked.target.startswith("/openai/")
        headers = {"apim-request-id" if azure else "x-request-id": f"req-{number}", **reply.headers}
        if reply.status >= 400:
            await wire.whole(reply.status, json.dumps(reply.wrong), headers)
        elif reply.body is not None:
            await wire.whole(reply.status, reply.body, {"content-type": "text/html", **headers})
        elif not asked.body.get("stream"):
            await asyncio.sleep(reply.first_s)
            await wire.whole(reply.status, json.dumps(_whole(asked, reply, number)), headers)
        else:
            await wire.begin(headers)
            async for line in self._lines(asked, reply, number, azure):
                if line is None:
                    return False
                await wire.line(line)
            await wire.end()
        asked.whole = True
        return True

    async def _lines(self, asked: Asked, reply: Reply, number: str, azure: bool) -> AsyncIterator[str | None]:
        """The lines of a stream, each at its time; None where the connection is to be cut."""
        if reply.lines is not None:
            for line in reply.lines:
                yield line
            return
        counted = reply.usage and bool((asked.body.get("stream_options") or {}).get("include_usage"))
        frame = _Frame(number, str(asked.body.get("model")), counted)
        if azure:
            yield frame.line([], prompt_filter_results=[])
        yield frame.choice({"role": "assistant", "content": ""})
        part = "refusal" if reply.refusal else "content"
        rate = self.rate if reply.rate is None else reply.rate
        began = time.monotonic() + reply.first_s
        pieces = reply.pieces
        for count in range(len(pieces) + 1):
            if count == reply.cut_after:
                yield None
            if count == reply.stall_after:
                await asyncio.Event().wait()
            if count < len(pieces):
                due = began + ((count + 1) / rate if rate else 0)
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                yield frame.choice({part: pieces[count]})
                asked.sent = count + 1
        if reply.finish is not None:
            yield frame.choice({}, reply.finish)
        if counted:
            await asyncio.sleep(reply.late_usage_s)
            yield frame.line([], usage=_usage(asked, reply))
        yield "data: [DONE]\n\n"


@dataclass(frozen=True)
class _Frame:
    """What all chunks of a stream have in common."""

    number: str
    model: str
    counted: bool

    def choice(self, delta: dict[str, str], finish: str | None = None) -> str:
        return self.line([{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}])

    def line(self, choices: list[Any], **more: Any) -> str:
        chunk = {
            "id": f"chatcmpl-{self.number}",
            "object": "chat.completion.chunk",
            "created": int(time.time()),
            "model": self.model,
            "choices": choices,
        }
        if self.counted:
            chunk["usage"] = None
        return f"data: {json.dumps(chunk | more)}\n\n"


def _whole(asked: Asked, reply: Reply, number: str) -> dict[str, Any]:
    """An answer that is not streamed."""
    message = {"role": "assistant", "content": reply.text or None, "refusal": reply.refusal or None}
    return {
        "id": f"chatcmpl-{number}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": asked.body.get("model"),
        "choices": [{"index": 0, "message": message, "finish_reason": reply.finish}],
        "usage": _usage(asked, reply),
    }


def _usage(asked: Asked, reply: Reply) -> dict[str, int]:
    read = sum(len(str(item.get("content")).split()) for item in asked.messages)
    written = len(reply.pieces)
    return {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}
