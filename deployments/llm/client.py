"""Asks an OpenAI-compatible endpoint for chat completions, always streamed.

An endpoint takes what it takes: a strict JSON schema, any JSON object, or plain text; a temperature, a count
of tokens. The strictest is asked for first. Where the endpoint answers 400, one thing is left out and it is
asked again; what it took in the end is remembered, so that no call is made only to find out.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from deployments.llm import failures
from deployments.llm.dialect import FORMATS, Dialect, Form
from deployments.llm.endpoint import AZURE_VERSION, Endpoint
from deployments.llm.errors import (
    LlmError,
    LlmLengthError,
    LlmRefusedError,
    LlmTimeoutError,
)
from deployments.llm.halves import Halves, joined
from deployments.llm.thoughts import Thoughts

if TYPE_CHECKING:
    import httpx2
    from openai import AsyncOpenAI, AsyncStream
    from openai.types.chat import ChatCompletionChunk

__all__ = ["Form", "Llm", "Usage"]

logger = logging.getLogger("ray.serve")

MOST = 1_000_000
"""Characters of one answer that are taken."""

_CONNECT_S = 10.0
_TAIL_S = 2.0  # how long the count of tokens may come after the answer's end
_REFUSAL = 300  # characters told of a refusal


@dataclass
class Usage:
    """What LLM calls took: answered calls and, where the endpoint tells them, tokens."""

    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0

    def __iadd__(self, other: "Usage") -> "Usage":
        self.calls += other.calls
        self.prompt_tokens += other.prompt_tokens
        self.completion_tokens += other.completion_tokens
        return self


@dataclass(slots=True)
class _Call:
    """One call while it goes on; times are the event loop's."""

    messages: Sequence[Mapping[str, str]]
    form: Form | None
    options: Mapping[str, Any]
    run: str
    began: float = 0.0
    first: float = 0.0
    request: str = ""
    length: int = 0
    refusal: str = ""
    finish: str = ""
    usage: Usage = field(default_factory=Usage)
    halves: Halves = field(default_factory=Halves)
    thoughts: Thoughts = field(default_factory=Thoughts)


class Llm:
    """An LLM behind an endpoint; to be used on one event loop.

    At most ``endpoint.concurrency`` answers are written at once. A call holds its place from the request
    until the answer has ended or its generator is closed.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self._http, self._client = _connected(endpoint)
        self._headers = _headers(endpoint)
        self._places = asyncio.Semaphore(endpoint.concurrency)
        self._dialect = Dialect()
        self._unopened = False  # whether its thoughts end without a beginning

    async def stream(
        self,
        messages: Sequence[Mapping[str, str]],
        *,
        form: Form | None = None,
        usage: Usage | None = None,
        run: str = "",
        options: Mapping[str, float] | None = None,
        begun: Callable[[], None] | None = None,
    ) -> AsyncGenerator[str]:
        """Ask, and yield the answer's text as it is written. Closing the generator closes the connection.

        Args:
            messages: the conversation, each message with ``role`` and ``content``.
            form: the structured output wanted; not every endpoint holds an answer to it.
            usage: what the call took is added here.
            run: id of the run, for logs.
            options: ``temperature``, ``top_p`` and ``seed``, where they matter; an endpoint that refuses one
                is asked without it.
            begun: told when the call has its place among those at once, and is made.

        Raises:
            LlmError: see ``deployments.llm.errors``; what came before it was yielded.

        """
        effort = self.endpoint.reasoning_effort
        own = {"reasoning_effort": effort} if effort else {}
        call = _Call(messages, form, own | dict(options or {}), run)
        async with self._places:
            if begun is not None:
                begun()
            call.began = asyncio.get_running_loop().time()
            call.thoughts = Thoughts(self._unopened)
            try:
                source, chunk = await self._opened(call)
                try:
                    while chunk is not None:
                        if text := self._taken(chunk, call):
                            yield text
                        chunk = await self._next(source, call)
                    if text := call.thoughts.rest(whole=call.finish == "stop"):
                        yield text
                finally:
                    await source.close()
                self._check_end(call)
            except LlmError as error:
                logger.warning("run %s: %s (%s, request %s)", run, error.message, error.code, call.request)
                raise
            finally:
                if call.thoughts.unopened is not None:
                    self._unopened = call.thoughts.unopened
                if usage is not None:
                    usage += call.usage
        self._log(call)

    async def close(self) -> None:
        """Close all connections."""
        await self._http.aclose()

    # The request -------------------------------------------------------------------------------------------

    async def _opened(self, call: _Call) -> "tuple[AsyncStream[ChatCompletionChunk], Any]":
        """A stream and its first chunk: tried anew, and with less asked for, as the endpoint needs it.

        Raises:
            LlmError: it does not answer, or not in time.

        """
        until = call.began + self.endpoint.timeout_s
        dialect, tries = self._dialect, 0
        while True:
            extras = dialect.extras(call.form, call.options)
            try:
                async with asyncio.timeout_at(until):
                    opened = await self._asked(call, extras)
                self._dialect = self._dialect.joined(dialect)
                return opened
            except TimeoutError:
                error: Exception | None = None
            except Exception as raised:  # the client's, which hold the request with its key
                error = raised
            if error is None:
                raise LlmTimeoutError(self._late("began no answer"))
            less = self._less(error, dialect, extras)
            if less is not None:
                dialect = less
                continue
            wait = failures.pause(error, tries)
            now = asyncio.get_running_loop().time()
            if wait is None or tries >= self.endpoint.retries or now + wait >= until:
                failed = failures.failure(error, self.endpoint)
                call.request = call.request or _id_of(error)
                break
            tries += 1
            logger.info(
                "run %s: %s is asked again in %.1f s (%s, request %s)",
                call.run, self.endpoint.host, wait, type(error).__name__, _id_of(error),
            )  # fmt: skip
            await asyncio.sleep(wait)
        raise failed

    async def _asked(
        self, call: _Call, extras: Mapping[str, Any]
    ) -> "tuple[AsyncStream[ChatCompletionChunk], Any]":
        """One request, up to the first chunk that says something."""
        messages: Any = [
            {name: joined(value) for name, value in message.items()} for message in call.messages
        ]
        source: AsyncStream[ChatCompletionChunk] = await self._client.chat.completions.create(
            model=self.endpoint.model, messages=messages, stream=True, extra_headers=self._headers, **extras
        )
        try:
            call.request = failures.request_id(source.response.headers)
            chunk = await _saying(source)
            if chunk is None:
                raise ConnectionError("the stream ended before it began")
        except BaseException:
            await source.close()
            raise
        call.usage.calls = 1
        call.first = asyncio.get_running_loop().time()
        return source, chunk

    def _less(self, error: Exception, dialect: Dialect, extras: Mapping[str, Any]) -> Dialect | None:
        """What to ask for instead, where the endpoint refuses what was asked for."""
        if getattr(error, "status_code", None) not in (400, 422):
            return None
        refusal = failures.refusal(error, self.endpoint)
        less = dialect.less(refusal, extras)
        if less is not None:
            what = f"is asked for {FORMATS[less.step]}, without {', '.join(sorted(less.dropped)) or 'less'}"
            logger.warning("%s %s, since it said: %s", self.endpoint.host, what, refusal.words)
        return less

    # The answer --------------------------------------------------------------------------------------------

    async def _next(self, source: "AsyncStream[ChatCompletionChunk]", call: _Call) -> Any:
        """The next chunk that says something; None at the end.

        Raises:
            LlmError: it does not come in time, or the endpoint broke the answer off.

        """
        limit = min(_TAIL_S, self.endpoint.timeout_s) if call.finish else self.endpoint.timeout_s
        failed: LlmError
        try:
            async with asyncio.timeout(limit):
                return await _saying(source)
        except TimeoutError:
            failed = LlmTimeoutError(self._late("went on with no token"))
        except Exception as error:  # the client's, which hold the request with its key
            failed = failures.failure(error, self.endpoint, begun=True)
        if call.finish:
            return None  # the answer is whole; only the count of tokens is missing
        raise failed

    def _taken(self, chunk: Any, call: _Call) -> str:
        """The text of a chunk; what else it says is kept with the call.

        Raises:
            LlmLengthError: the answer is beyond all bounds.

        """
        told = getattr(chunk, "usage", None)
        if told is not None:
            call.usage.prompt_tokens = _count(told, "prompt_tokens")
            call.usage.completion_tokens = _count(told, "completion_tokens")
        choice = _choice(chunk)
        if choice is None:
            return ""
        call.finish = getattr(choice, "finish_reason", None) or call.finish
        delta = getattr(choice, "delta", None)
        call.refusal += _text(delta, "refusal")
        text = call.halves.take(_text(delta, "content"))
        call.length += len(text)
        if call.length > MOST:
            raise LlmLengthError(f"The LLM wrote over {MOST} characters; ask for less at once.")
        return call.thoughts.take(text)

    def _check_end(self, call: _Call) -> None:
        """Tell an answer that is none, or not whole.

        Raises:
            LlmRefusedError: the model or a filter refused.
            LlmLengthError: the limit of tokens was reached.
            LlmUnavailableError: the stream ended too soon.

        """
        host, model = self.endpoint.host, self.endpoint.model
        if call.refusal:
            words = failures.scrubbed(call.refusal, self.endpoint)[:_REFUSAL]
            raise LlmRefusedError(f"The LLM {model} refuses: {words}")
        if call.finish == "content_filter":
            raise LlmRefusedError(
                f"A content filter of {host} broke the answer off; put the request otherwise."
            )
        if call.finish == "length":
            raise LlmLengthError(
                f"The answer of {model} at {host} reached its limit of tokens; ask for less at once, or "
                "take a model with a longer context."
            )
        if not call.finish:
            raise failures.cut(self.endpoint)

    def _late(self, what: str) -> str:
        return (
            f"The LLM endpoint {self.endpoint.host} {what} within {self.endpoint.timeout_s:g} s; try again "
            "later, or set HUGGINGGPT_LLM_TIMEOUT_S higher."
        )

    def _log(self, call: _Call) -> None:
        logger.info(
            "run %s: %s at %s answered request %s: first token after %.3f s, end after %.3f s, "
            "%d tokens read, %d written",
            call.run, self.endpoint.model, self.endpoint.host, call.request or "without id",
            call.first - call.began, asyncio.get_running_loop().time() - call.began,
            call.usage.prompt_tokens, call.usage.completion_tokens,
        )  # fmt: skip


def _connected(endpoint: Endpoint) -> "tuple[httpx2.AsyncClient, AsyncOpenAI]":
    """A client that takes nothing from the environment but proxies, follows no redirect and tries once."""
    import httpx2
    import openai

    http = httpx2.AsyncClient(
        timeout=httpx2.Timeout(None, connect=_CONNECT_S),
        limits=httpx2.Limits(max_connections=None, max_keepalive_connections=endpoint.concurrency),
        follow_redirects=False,
        trust_env=not endpoint.local,
    )
    secret = endpoint.secret
    client: AsyncOpenAI
    if endpoint.azure:
        client = openai.AsyncAzureOpenAI(
            azure_endpoint=endpoint.address.rstrip("/"),
            api_key=secret,
            api_version=endpoint.api_version or AZURE_VERSION,
            max_retries=0,
            http_client=http,
        )
    else:
        client = openai.AsyncOpenAI(
            base_url=endpoint.address, api_key=secret or "none", max_retries=0, http_client=http
        )
    # It has read the environment, and would tell any endpoint what is meant for OpenAI's own.
    client.organization = client.project = client.admin_api_key = client.webhook_secret = None
    client._custom_headers = {}
    return http, client


def _headers(endpoint: Endpoint) -> dict[str, Any]:
    """What is said with each request: nothing, but that no key is sent where there is none."""
    import openai

    return {} if endpoint.secret else {"Authorization": openai.Omit()}


async def _saying(source: "AsyncStream[ChatCompletionChunk]") -> Any:
    """The next chunk that says something: signs of life alone are passed over."""
    while True:
        chunk = await anext(source, None)
        if chunk is None or getattr(chunk, "usage", None) is not None:
            return chunk
        choice = _choice(chunk)
        delta = getattr(choice, "delta", None)
        if getattr(choice, "finish_reason", None) or any(
            _text(delta, name) for name in ("content", "refusal", "reasoning_content", "reasoning")
        ):
            return chunk


def _choice(chunk: Any) -> Any:
    """The answer's part of a chunk: endpoints may send chunks without any."""
    choices = getattr(chunk, "choices", None) or ()
    return next((choice for choice in choices if not getattr(choice, "index", 0)), None)


def _text(delta: Any, name: str) -> str:
    value = getattr(delta, name, None)
    return value if isinstance(value, str) else ""


def _count(told: Any, name: str) -> int:
    value = getattr(told, name, None)
    return value if isinstance(value, int) else 0


def _id_of(error: Exception) -> str:
    response = getattr(error, "response", None)
    return failures.request_id(response.headers) if response is not None else ""
