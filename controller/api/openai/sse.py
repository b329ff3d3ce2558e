"""Server-sent events as OpenAI's clients read them."""

from collections.abc import AsyncIterator
from typing import Any

from starlette.responses import StreamingResponse

from controller.api.guard import kind
from controller.failure import failure, status

BEAT = b": still at it\n\n"
"""A comment, which clients pass over and proxies see."""

DONE = b"data: [DONE]\n\n"
"""What ends a stream of chunks."""

_ESCAPED = {ord(mark): f"\\u{ord(mark):04x}" for mark in "\x85\u2028\u2029"}
"""The other marks at which Python breaks lines are escaped in any JSON."""


def response(body: AsyncIterator[bytes]) -> StreamingResponse:
    """A stream that nothing on its way should hold back."""
    headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
    return StreamingResponse(body, media_type="text/event-stream", headers=headers)


def error(cause: BaseException) -> dict[str, Any]:
    """What went wrong, in OpenAI's form."""
    told = failure(cause)
    return {"message": told.message, "type": kind(status(told.code)), "param": None, "code": told.code}


def unbroken(data: str) -> str:
    """JSON without the characters at which some clients break lines beside those that the protocol names."""
    return data.translate(_ESCAPED)


def event(data: str, name: str = "") -> bytes:
    """An event of some JSON, with its type where it has one."""
    head = f"event: {name}\n" if name else ""
    return f"{head}data: {unbroken(data)}\n\n".encode()
