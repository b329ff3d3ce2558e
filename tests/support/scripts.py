"""What the scripted endpoint answers: texts piece by piece, errors, and every way in which an LLM fails."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any


@dataclass(frozen=True)
class Reply:
    """One answer.

    Attributes:
        text: what the LLM writes.
        tokens: in how many pieces; None for its words.
        rate: pieces each second; None for the endpoint's own rate, 0 for all at once.
        first_s: how long the first piece takes, beyond the rate.
        finish: why it ended; None to leave that out.
        refusal: what it writes instead, as a refusal.
        status: the HTTP status; one of 400 and above answers ``error`` and nothing else.
        error: the body of an error: a message, or a whole body.
        headers: further headers, such as ``Retry-After``.
        cut_after: after how many pieces the connection is cut.
        stall_after: after how many pieces nothing comes any more.
        usage: whether tokens are counted where the request asks for it.
        late_usage_s: how long the count of tokens takes after the end.
        body: written as it is, instead of a stream.
        lines: written as they are, as the whole stream; ``data: `` and all.

    """

    text: str = ""
    tokens: int | None = None
    rate: float | None = None
    first_s: float = 0.0
    finish: str | None = "stop"
    refusal: str = ""
    status: int = 200
    error: str | Mapping[str, Any] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    cut_after: int | None = None
    stall_after: int | None = None
    usage: bool = True
    late_usage_s: float = 0.0
    body: str | None = None
    lines: tuple[str, ...] | None = None

    @property
    def pieces(self) -> list[str]:
        """The answer as its tokens."""
        text = self.refusal or self.text
        if self.tokens is None:
            return re.findall(r"\s*\S+|\s+\Z", text)
        size, more = divmod(len(text), self.tokens)
        ends = [size * at + min(at, more) for at in range(self.tokens + 1)]
        return [text[begin:end] for begin, end in pairwise(ends)]

    @property
    def wrong(self) -> Mapping[str, Any]:
        """The body of an error."""
        if isinstance(self.error, Mapping):
            return self.error
        return problem(self.error or "The server had an error while processing your request.")


def problem(
    message: str, kind: str = "invalid_request_error", param: str | None = None, code: str | None = None
) -> dict[str, Any]:
    """The body of an error as OpenAI shapes it."""
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def limited(retry_after: float | str | None = None) -> Reply:
    """A rate limit."""
    headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
    message = "Rate limit reached for requests. Please try again in 20s."
    return Reply(status=429, error=problem(message, "requests", code="rate_limit_exceeded"), headers=headers)


def broken(status: int = 500) -> Reply:
    """A failure of the server."""
    return Reply(status=status, error=problem("The server had an error.", "server_error"))


REFUSALS: Mapping[str, Reply] = {
    "json_schema": Reply(
        status=400,
        error=problem(
            "Invalid parameter: 'response_format' of type 'json_schema' is not supported with this model. "
            "Learn more about supported models at the Structured Outputs guide."
        ),
    ),
    "json_object": Reply(
        status=400, error={"error": "'response_format.type' must be 'json_schema' or 'text'"}
    ),
    "stream_options": Reply(
        status=400,
        error={
            "object": "error",
            "message": "[{'type': 'extra_forbidden', 'loc': ('body', 'stream_options'), 'msg': "
            "'Extra inputs are not permitted', 'input': {'include_usage': True}}]",
            "type": "BadRequestError",
            "param": None,
            "code": 400,
        },
    ),
    "temperature": Reply(
        status=400,
        error=problem(
            "Unsupported value: 'temperature' does not support 0 with this model. Only the default (1) value "
            "is supported.",
            param="temperature",
            code="unsupported_value",
        ),
    ),
    "top_p": Reply(
        status=400,
        error=problem(
            "Unsupported parameter: 'top_p' is not supported with this model.",
            param="top_p",
            code="unsupported_parameter",
        ),
    ),
    "seed": Reply(
        status=422,
        error={"detail": [{"type": "extra_forbidden", "loc": ["body", "seed"], "msg": "Extra inputs"}]},
    ),
    "max_tokens": Reply(
        status=400,
        error=problem(
            "Unsupported parameter: 'max_tokens' is not supported with this model. Use "
            "'max_completion_tokens' instead.",
            param="max_tokens",
            code="unsupported_parameter",
        ),
    ),
    "logit_bias": Reply(
        status=400, error=problem("logit_bias is not supported with this model.", param="logit_bias")
    ),
}
"""How servers word what they do not take, by what it is."""
