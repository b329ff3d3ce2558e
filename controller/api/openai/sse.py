"""Server-sent events as OpenAI's clients read them."""

from collections.abc import AsyncIterator, Mapping
from typing import Any

from starlette.responses import StreamingResponse

from controller.api.guard import kind
from controller.failure import failure, status

BEAT = b": still at it\n\n"
"""A comment, which clients pass over and proxies see."""

DONE = b"data: [DONE]\n\n"
"""What ends a stream of chunks."""


def response(body: AsyncIterator[bytes]) -> StreamingResponse:
    """A stream that nothing on its way should hold back."""
    headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
    return StreamingResponse(body, media_type="text/event-stream", headers=headers)


def error(cause: BaseException) -> dict[str, Any]:
    """What went wrong, in OpenAI's form."""
    told = failure(cause)
    return {"message": told.message, "type": kind(status(told.code)), "param": None, "code": told.code}


DESCRIBED: Mapping[int | str, Mapping[str, Any]] = {200: {"content": {"text/event-stream": {}}}}
"""A route's answers where it may stream, for its description."""
