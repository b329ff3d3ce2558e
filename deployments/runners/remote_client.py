"""The client for models served elsewhere: Hugging Face's own, held to bounds.

The library shapes requests and answers for each task and provider. What it leaves open is closed here: how
long an answer may be, which addresses may be asked, who sees the token, and what an error says.
"""

import asyncio
import ipaddress
import json
import math
import ssl
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import httpx2
from huggingface_hub import AsyncInferenceClient, constants, set_client_factory
from huggingface_hub.errors import OfflineModeIsEnabled
from huggingface_hub.inference._providers import get_provider_helper
from huggingface_hub.inference._providers._common import _fetch_inference_provider_mapping

from deployments.errors import ExpertError, StoppedError
from deployments.media import LIMITS, media_type
from model_catalog.hub import private

SECONDS = 120.0
"""The longest one call may take, waiting, answer and all."""

_CONNECT_S = 10.0
_WORDS = 16 * 2**20  # bytes of an answer without media
_ERROR = 64 * 2**10  # bytes looked at of an error
_SAID = 160  # characters told of an error
_DAY_S = 86_400
_PICTURES = frozenset({"text-to-image", "image-to-image"})
_MEDIA = _PICTURES | {
    "image-segmentation", "text-to-speech", "audio-to-audio", "text-to-video", "image-to-video",
}  # fmt: skip
_EMPTY = (httpx2.codes.NO_CONTENT, httpx2.codes.RESET_CONTENT)
_GONE = (httpx2.codes.NOT_FOUND, httpx2.codes.GONE)
_ALONE = frozenset({"image-to-text", "summarization", "translation"})

GIVEN_UP: ContextVar[threading.Event | None] = ContextVar("GIVEN_UP", default=None)
"""Set for as long as a call runs; the event itself is set once the call has ended."""


class Client(AsyncInferenceClient):  # type: ignore[misc]
    """Asks one model; its connections belong to ``http``.

    Args:
        http: where requests go out.
        model: id of the model on the Hub, or the URL of an endpoint that serves it.
        name: id of the model, for messages.
        provider: who serves it, a provider's name or ``auto``; an endpoint has none.
        secret: the token; it goes to private addresses alone.

    Attributes:
        gone: whether the model turned out not to be served there.

    """

    def __init__(
        self, http: httpx2.AsyncClient, model: str, name: str, provider: str, secret: str | None
    ) -> None:
        # An empty token would make the library look for one of the machine's own.
        super().__init__(model=model, provider=provider, token=secret or "none", timeout=SECONDS)
        self._http = http
        self._name = name
        self._secret = secret
        self.gone = False

    async def unopened(self, task: str, inputs: Any, **parameters: Any) -> Any:
        """What a service gives for a picture's task: bytes, or parsed JSON of some providers.

        The library's own methods would open each picture, with whichever of Pillow's decoders takes it.

        Raises:
            ExpertError: see ``_inner_post``.

        """
        helper = get_provider_helper(self.provider, task=task, model=self.model)
        asked = helper.prepare_request(
            inputs=inputs, parameters=parameters, headers={}, model=self.model, api_key=self.token
        )
        return await asyncio.to_thread(helper.get_response, await self._inner_post(asked), asked)

    async def _inner_post(self, request_parameters: Any, *, stream: bool = False) -> bytes:
        """Send a request of the library's; the one place where it does.

        Raises:
            ExpertError: the service refuses it, fails, or says too much.

        """
        asked = request_parameters
        async with self._http.stream(
            "POST", asked.url, json=asked.json, content=asked.data, headers=self._headers(asked)
        ) as response:
            if not response.is_success or response.status_code in _EMPTY:
                raise await self._refusal(response)
            return _usual(asked.task, await self._body(response, asked.task))

    def _headers(self, asked: Any) -> dict[str, str]:
        found = {name.lower(): value for name, value in asked.headers.items()}
        found |= {"accept-encoding": "identity", "user-agent": "hugginggpt-serve"}
        if self._secret is None or not private(asked.url):
            found.pop("authorization", None)
        if asked.task in _PICTURES:
            found.setdefault("accept", "image/png")
        if asked.data is not None:
            found.setdefault("content-type", media_type(asked.data))
        return found

    async def _body(self, response: httpx2.Response, task: str) -> bytes:
        most = LIMITS.max_bytes if task in _MEDIA else _WORDS
        body = bytearray()
        async for block in response.aiter_bytes():
            body += block
            if len(body) > most:
                raise ExpertError(
                    f"The service of {self._name} sent over {most / 2**20:.3g} MiB, more than is taken."
                )
        return bytes(body)

    async def _refusal(self, response: httpx2.Response) -> ExpertError:
        """What a status without an answer means, in words of our own."""
        self.gone = response.status_code in _GONE
        said = await _error(response)
        wait = _wait(response, said)
        status = response.status_code
        later = f"try again in {wait} s" if wait else "try again later"
        match status:
            case 401 | 403:
                told = (
                    f"The service refused the token for {self._name} ({status}); set "
                    "HUGGINGFACE_ACCESS_TOKEN to one that may call Inference Providers and see this model."
                )
            case 402:
                told = (
                    f"The quota of the token's account is used up (402), so that {self._name} did not "
                    f"answer; buy credits or {later}."
                )
            case 429:
                told = f"The service of {self._name} takes no more calls for now (429); {later}."
            case 404 | 410:
                told = (
                    f"Nobody serves {self._name} there ({status}); deploy another model, or set the provider "
                    "or endpoint of its card."
                )
            case 503:
                told = f"{self._name} is not ready where it is served (503), it may be loading; {later}."
            case _ if status < 400:
                told = (
                    f"The service of {self._name} sent no answer ({status}); give the address that answers "
                    "directly."
                )
            case _:
                told = f"The service of {self._name} failed ({status})."
        if status in (400, 413, 415, 422, 500) and (quoted := self._quoted(said)):
            told = f"{told} It said: {quoted!r}"
        return ExpertError(told)

    def _quoted(self, said: Any) -> str:
        """A short, plain part of the service's own words: they are data, and may repeat what was sent."""
        error = said.get("error") if isinstance(said, dict) else None
        if isinstance(error, dict):
            error = error.get("message")
        if isinstance(error, list) and error:
            error = error[0]
        if not isinstance(error, str):
            return ""
        if self._secret:
            error = error.replace(self._secret, "***")
        return " ".join("".join(c if c.isprintable() else " " for c in error).split())[:_SAID]


def _usual(task: str, body: bytes) -> bytes:
    """The answer in the shape the library reads; services older or simpler than it have their own."""
    if task not in _ALONE and task not in ("text-classification", "zero-shot-classification"):
        return body
    found = json.loads(body)
    if task in _ALONE and isinstance(found, dict):
        found = [found]
    if task == "text-classification" and found and all(isinstance(item, dict) for item in found):
        found = [found]
    if task == "zero-shot-classification" and isinstance(found, dict):
        pairs = zip(found["labels"], found["scores"], strict=True)
        found = [{"label": label, "score": score} for label, score in pairs]
    return json.dumps(found).encode()


async def _error(response: httpx2.Response) -> Any:
    """The body of an error as JSON; None where it is none, as a page for people."""
    if "json" not in response.headers.get("content-type", ""):
        return None
    body = bytearray()
    async for block in response.aiter_bytes():
        body += block
        if len(body) > _ERROR:
            return None
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _wait(response: httpx2.Response, said: Any) -> int | None:
    """In how many seconds the service wants to be asked again, None where it does not say."""
    written = response.headers.get("retry-after", "").strip()
    seconds: Any = said.get("estimated_time") if isinstance(said, dict) else None
    if written.isascii() and written.isdigit():
        seconds = int(written[:9])
    elif written:
        try:
            seconds = (parsedate_to_datetime(written) - datetime.now(UTC)).total_seconds()
        except (ValueError, TypeError):
            seconds = None
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not math.isfinite(seconds):
        return None
    return min(_DAY_S, math.ceil(seconds)) if seconds > 0 else None


class Connections:
    """The connections of a runner: shared by calls that overlap, closed when the last of them ends.

    Args:
        secure: whether services are asked over TLS.

    """

    def __init__(self, secure: bool) -> None:
        # Where nothing is asked over TLS, the certificates are not loaded, and nobody is trusted.
        self._context = httpx2.create_ssl_context() if secure else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._http: httpx2.AsyncClient | None = None
        self._users = 0

    @asynccontextmanager
    async def use(self) -> AsyncIterator[httpx2.AsyncClient]:
        """Connections for the length of a call; no redirect is followed, as a token could leak along it."""
        if self._http is None:
            self._http = httpx2.AsyncClient(
                verify=self._context, timeout=httpx2.Timeout(SECONDS, connect=_CONNECT_S)
            )
        http = self._http
        self._users += 1
        try:
            yield http
        finally:
            self._users -= 1
            if not self._users:
                self._http = None
                await http.aclose()


# The library's own requests ------------------------------------------------------------------------------
# It asks the Hub who serves a model, and providers that work on a queue for their result, on a thread and
# through a session of its own. A call's such requests end with the call, and go to public addresses alone.


def guard(secret: str | None) -> None:
    """Hold the library's own requests of this process to the bounds of the call they are made for."""

    def check(request: httpx2.Request) -> None:
        if constants.is_offline_mode():
            raise OfflineModeIsEnabled("HF_HUB_OFFLINE is set.")
        event = GIVEN_UP.get()
        if event is None:
            return
        if event.is_set():
            raise StoppedError("The task was stopped because nobody waits for it any more; ask again.")
        hub = urlsplit(constants.ENDPOINT)
        if request.url.host == hub.hostname:
            request.headers.pop("authorization", None)  # it may be the machine's own
            if secret is not None and private(constants.ENDPOINT):
                request.headers["authorization"] = f"Bearer {secret}"
        elif not _public(request.url):
            raise ExpertError("The service named an address for its result that is not asked.")

    set_client_factory(
        lambda: httpx2.Client(
            transport=_Bounded(),
            event_hooks={"request": [check]},
            follow_redirects=True,
            timeout=httpx2.Timeout(30.0, connect=_CONNECT_S),
        )
    )


def _public(url: httpx2.URL) -> bool:
    """Whether an address is one of the open web, by its looks."""
    host = url.host.rstrip(".")
    if url.scheme != "https" or "." not in host:
        return False
    try:
        return ipaddress.ip_address(host).is_global
    except ValueError:
        return not host.endswith((".local", ".internal", ".localhost"))


class _Bounded(httpx2.HTTPTransport):
    """Ends an answer to a call's request where it grows too long."""

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        response = super().handle_request(request)
        if GIVEN_UP.get() is not None and isinstance(response.stream, httpx2.SyncByteStream):
            response.stream = _Counted(response.stream)
        return response


class _Counted(httpx2.SyncByteStream):
    def __init__(self, stream: httpx2.SyncByteStream) -> None:
        self._stream = stream

    def __iter__(self) -> Iterator[bytes]:
        count = 0
        for block in self._stream:
            count += len(block)
            if count > LIMITS.max_bytes:
                raise ExpertError("The service's result is longer than what is taken.")
            yield block

    def close(self) -> None:
        self._stream.close()


def forget() -> None:
    """Have the library ask anew who serves a model, any model: it keeps what it was told for good."""
    _fetch_inference_provider_mapping.cache_clear()


async def resolve(provider: str, task: str, model: str) -> None:
    """Find out once who serves a model; the library then knows, and never asks on the event loop.

    Raises:
        Exception: nobody does, or the Hub cannot be asked.

    """

    def look() -> Exception | None:
        try:
            get_provider_helper(provider, task, model)._prepare_mapping_info(model)
        except StopIteration:  # which a future cannot carry
            return LookupError("no provider")
        except Exception as error:  # told by the caller
            return error
        return None

    if error := await asyncio.to_thread(look):
        raise error
