"""What went wrong at an endpoint, in words of our own; the key and the client's exceptions stay behind."""

import email.utils
import math
import random
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from deployments.llm.dialect import Refusal
from deployments.llm.endpoint import Endpoint
from deployments.llm.errors import (
    LlmAuthError,
    LlmError,
    LlmRateError,
    LlmRefusedError,
    LlmRequestError,
    LlmTimeoutError,
    LlmUnavailableError,
)

_NO_STREAM = (ValueError, ConnectionError)
_SAID = 300  # characters told of an endpoint's words
_FIRST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 8.0
_REQUEST_IDS = ("x-request-id", "apim-request-id", "x-ms-request-id", "request-id")


def failure(error: Exception, endpoint: Endpoint, begun: bool = False) -> LlmError:
    """An exception of the client as one of ours; ``begun`` says whether the answer had."""
    import openai

    where = f"The LLM endpoint {endpoint.host}"
    if isinstance(error, openai.APIStatusError):
        return _refused(error, endpoint, where)
    if isinstance(error, openai.APITimeoutError):
        return LlmTimeoutError(
            f"{where} did not take the connection in time; look at the network and its address."
        )
    if begun and isinstance(error, openai.APIConnectionError):
        return cut(endpoint)
    if isinstance(error, openai.APIConnectionError):
        return LlmUnavailableError(
            f"{where} cannot be reached, or broke the connection off; look at the network and its address."
        )
    if isinstance(error, openai.APIError):
        return _broken(error, endpoint, where)
    if isinstance(error, _NO_STREAM):
        return LlmUnavailableError(
            f"{where} sent what is no stream of chat completions ({type(error).__name__}); its address must "
            "be that below which /chat/completions lies, such as https://llm.example.org/v1."
        )
    return LlmUnavailableError(f"{where} could not be asked: the client met a {type(error).__name__}.")


def cut(endpoint: Endpoint) -> LlmError:
    """An answer that ended in its middle."""
    return LlmUnavailableError(f"The LLM endpoint {endpoint.host} broke its answer off; try again.")


def _refused(error: Any, endpoint: Endpoint, where: str) -> LlmError:
    status, said = error.status_code, refusal(error, endpoint)
    if status in (401, 403):
        return LlmAuthError(
            f"{where} refuses the key ({status}); set OPENAI_API_KEY, or the key of that stage, to one that "
            f"may use {endpoint.model}."
        )
    if status == 429:
        if said.code == "insufficient_quota":
            return LlmRateError(f"{where} says that the quota is used up (429); look at the account's plan.")
        return LlmRateError(f"{where} takes no more requests now (429); try again later.")
    if status == 408 or status >= 500:
        return LlmUnavailableError(f"{where} failed ({status}); try again later, or look at its log.")
    if said.code == "content_filter":
        return LlmRefusedError(f"A content filter of {endpoint.host} stopped the request; put it otherwise.")
    if said.too_long:
        return LlmRequestError(
            f"{where} says that the request is longer than {endpoint.model} reads; give it less, or set "
            "the tokens of its context lower (HUGGINGGPT_LLM_CONTEXT_TOKENS)."
        )
    if status == 404:
        return LlmRequestError(
            f"{where} has no model {endpoint.model!r}, or its address is wrong (404); set HUGGINGGPT_MODEL "
            "to one that it has, and OPENAI_BASE_URL to the address below which /chat/completions lies."
        )
    return LlmRequestError(f"{where} does not take the request ({status}): {said.words}")


def _broken(error: Any, endpoint: Endpoint, where: str) -> LlmError:
    """An error that came inside a stream."""
    said = refusal(error, endpoint)
    told = f"{said.code} {error.type or ''} {said.words}".lower()
    if "rate" in told and "limit" in told:
        return LlmRateError(f"{where} broke its answer off, since there were too many requests.")
    if "content_filter" in told:
        return LlmRefusedError(f"A content filter of {endpoint.host} broke the answer off.")
    return LlmUnavailableError(f"{where} broke its answer off: {said.words}")


def refusal(error: Any, endpoint: Endpoint) -> Refusal:
    """What an endpoint said of an error, without the key."""
    body = error.body
    said: Any = body
    param = code = ""
    if isinstance(body, Mapping):
        said = body.get("message") or body.get("detail") or body.get("error") or ""
        param, code = (str(body.get(name) or "") for name in ("param", "code"))
    return Refusal(scrubbed(str(said or error.message), endpoint), param, code)


def scrubbed(words: str, endpoint: Endpoint) -> str:
    """An endpoint's words in one short line, without the key."""
    if endpoint.secret:
        words = words.replace(endpoint.secret, "***")
    return " ".join(words.split())[:_SAID]


def request_id(headers: Mapping[str, str]) -> str:
    """The id under which an endpoint's operator finds a request; empty where it tells none."""
    return next((headers[name][:100] for name in _REQUEST_IDS if name in headers), "")


def pause(error: Exception, tries: int) -> float | None:
    """How long to wait before a request is tried anew, in seconds; None where that would not help."""
    import openai

    if isinstance(error, openai.APIStatusError):
        headers = error.response.headers
        wanted = headers.get("x-should-retry")
        again = error.status_code in (408, 409, 429) or error.status_code >= 500
        if error.code == "insufficient_quota" or wanted == "false" or not (again or wanted == "true"):
            return None
        told = _told_pause(headers)
        if told is not None:
            return told
    elif not isinstance(error, (openai.APIError, *_NO_STREAM)):
        return None
    longest: float = min(_FIRST_PAUSE_S * 2**tries, _LONGEST_PAUSE_S)
    return longest * random.uniform(0.75, 1)  # noqa: S311 - spreads askers


def _told_pause(headers: Mapping[str, str]) -> float | None:
    """What ``Retry-After`` says: milliseconds, seconds, or a date."""
    for name, unit in (("retry-after-ms", 1000), ("retry-after", 1)):
        try:
            told = float(headers.get(name, "")) / unit
        except ValueError:
            continue
        return max(0.0, told) if math.isfinite(told) else None
    try:
        date = email.utils.parsedate_to_datetime(headers.get("retry-after", ""))
    except (TypeError, ValueError):
        return None
    return max(0.0, (date.astimezone(UTC) - datetime.now(UTC)).total_seconds())
