"""``/v1/responses``: a conversation in OpenAI's newer form, with the steps of its plan as items."""

import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any

from fastapi import Request
from starlette.responses import Response

from controller.api.address import address
from controller.api.media import attended
from controller.api.openai import sse
from controller.api.openai.asking import Stream, begun
from controller.api.openai.conversation import Turn, spoken
from controller.api.openai.items import Items, Step
from controller.api.openai.links import Links
from controller.api.openai.responses_schema import ResponseObject, ResponsesBody, ResponseUsage
from controller.api.openai.schema import Account, Usage, now
from controller.errors import RequestError
from controller.events import AnswerDelta, Event, PlanDone, RunDone, RunFailed
from controller.request import Request as Conversation


async def create(request: Request, body: ResponsesBody) -> Response:
    """Answer a conversation, whole or as a stream of typed events."""
    check(body)
    asked, events = await _asked(request, body)
    answer = _Answer(request, body, asked)
    if body.stream:
        opened = Stream(events)
        await attended(request, opened.open())
        return sse.response(answer.sent(opened))
    done = await attended(request, answer.whole(events))
    return Response(done.model_dump_json(), media_type="application/json")


def check(body: ResponsesBody) -> None:
    """Refuse what no response here can keep.

    Raises:
        RequestError: a field asks for it; the message says what to do.

    """
    if body.background:
        raise RequestError("Use POST /v1/runs with background: true for runs that go on alone.", "background")
    for name in ("previous_response_id", "conversation"):
        if getattr(body, name) is not None:
            raise RequestError("Responses are not kept here; send the whole conversation as input.", name)
    if body.text is not None and body.text.format is not None and body.text.format.type != "text":
        raise RequestError(
            "Answers are plain text here; leave text.format out. The field hugginggpt of each response holds "
            "its results as data.",
            "text.format",
        )
    if body.tool_choice not in (None, "auto", "none"):
        raise RequestError(
            "A client's own tools are never called here: the planner has the experts. Leave tool_choice out.",
            "tool_choice",
        )


async def _asked(request: Request, body: ResponsesBody) -> tuple[Conversation, AsyncGenerator[Event]]:
    """The conversation as it is understood, and the steps of its answer."""
    if isinstance(body.input, str):
        turns = [Turn("user", body.input, "input")]
    else:
        turns = [
            Turn(item.role, item.content, f"input.{number}.content")
            for number, item in enumerate(body.input)
            if item.type == "message" and item.role is not None
        ]
    if body.instructions:
        turns.insert(0, Turn("system", body.instructions, "instructions"))
    return await begun(request, body.model, turns, body.knobs)


class _Answer:
    """One response on its way."""

    def __init__(self, request: Request, body: ResponsesBody, asked: Conversation) -> None:
        self._body, self._asked = body, asked
        self._number = str(request.state.request_id)
        self._address = address(request)
        self._items = Items(self._number, self._address)
        self._links = Links(self._address)
        self._plan: PlanDone | None = None
        self._done: RunDone | None = None
        self._created = now()
        self._count = 0

    async def whole(self, events: AsyncGenerator[Event]) -> ResponseObject:
        """The response once it has ended.

        Raises:
            HuggingGPTError: it could not be run.

        """
        async with aclosing(events):
            async for event in events:
                for _ in self._steps(event):
                    pass
        return self._response("completed")

    async def sent(self, stream: Stream) -> AsyncIterator[bytes]:
        """The response as server-sent events; closing it gives the run up."""
        try:
            yield self._line("created", {"response": self._response("in_progress")})
            yield self._line("in_progress", {"response": self._response("in_progress")})
            async with aclosing(stream.beaten()) as events:
                async for event in events:
                    if event is None:
                        yield sse.BEAT
                    elif not isinstance(event, RunFailed):
                        for kind, fields in self._steps(event):
                            yield self._line(kind, fields)
        except Exception as error:
            told = sse.error(error)
            late = told["code"] in ("busy", "unavailable")
            fault = {"code": "rate_limit_exceeded" if late else "server_error", "message": told["message"]}
            yield self._line("failed", {"response": self._response("failed", fault)})
        else:
            yield self._line("completed", {"response": self._response("completed")})
        finally:
            await stream.close()

    def _steps(self, event: Event) -> list[Step]:
        """What an event of the run adds to the response."""
        if isinstance(event, PlanDone):
            self._plan = event
        elif isinstance(event, RunDone):
            self._done = event
            rest = self._links.rest()
            return [*(self._items.said(rest) if rest else ()), *self._items.closed()]
        elif isinstance(event, AnswerDelta):
            piece = self._links.feed(event.text)
            return list(self._items.said(piece)) if piece else []
        return list(self._items.steps(event))

    def _line(self, kind: str, fields: dict[str, Any]) -> bytes:
        name = f"response.{kind}"
        told = {
            key: _streamed(value) if isinstance(value, ResponseObject) else value
            for key, value in fields.items()
        }
        data = json.dumps({"type": name, "sequence_number": self._count, **told}, ensure_ascii=False)
        self._count += 1
        return sse.event(data, name)

    def _response(self, status: Any, error: dict[str, Any] | None = None) -> ResponseObject:
        body, done = self._body, self._done
        usage = None
        if done is not None:
            usage = ResponseUsage.of(Usage.of(spoken(self._asked), self._items.text, done))
        return ResponseObject(
            id=f"resp_{self._number}",
            created_at=self._created,
            completed_at=now() if status == "completed" else None,
            status=status,
            model=body.model,
            output=self._items.output if status != "in_progress" else [],
            error=error,
            instructions=body.instructions,
            metadata=body.metadata or {},
            temperature=body.temperature,
            top_p=body.top_p,
            max_output_tokens=body.max_output_tokens,
            usage=usage,
            hugginggpt=Account.of(done, self._plan, self._address) if done is not None else None,
        )


def _streamed(told: ResponseObject) -> dict[str, Any]:
    """A response as JSON of one line in a stream."""
    account = told.hugginggpt
    found = told.model_dump(mode="json", exclude={"hugginggpt"})
    return found | {"hugginggpt": None if account is None else account.streamed()}
