"""HuggingGPT's own dialect: ``/tasks``, ``/results`` and ``/hugginggpt``, as JARVIS's server had them.

Shapes as in microsoft/JARVIS ``hugginggpt/server/awesome_chat.py``: ids are strings, keys hold spaces, and a
request that needs no task is answered by ``{"message"}``.
"""

import re
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field

from controller import reference
from controller.api import media
from controller.api.address import Address, address
from controller.api.body import backend, declared, read
from controller.api.openai.links import pathed
from controller.api.openai.schema import ERRORS
from controller.errors import ForbiddenError, RequestError
from controller.events import RunDone
from controller.outcome import Outcome, Status
from controller.planner import Reply
from controller.request import MAX_MESSAGES, Message
from controller.request import Request as Conversation
from model_catalog.tasks import TASKS, Modality

router = APIRouter(tags=["jarvis"], responses=ERRORS)

_TAG = re.compile(r"<(?=[A-Za-z/!?])")

_TEXT_TASKS = frozenset(
    {"summarization", "translation", "conversational", "text-generation", "text2text-generation"}
)
"""Tasks that JARVIS gave to its LLM, and answered as ``{"response"}``."""


class JarvisRequest(BaseModel):
    """A conversation; the last message is the request. Unknown fields are ignored, as JARVIS did."""

    model_config = ConfigDict(extra="ignore")

    messages: Annotated[list[Message], Field(min_length=1, max_length=20 * MAX_MESSAGES)]
    api_key: str | None = None
    api_type: str | None = None
    api_endpoint: str | None = None


class Said(BaseModel):
    """An answer in words."""

    message: str


class PlannedTask(BaseModel):
    """A task of a plan; ``dep`` is ``[-1]`` where it depends on nothing."""

    task: str
    id: int
    dep: list[int]
    args: dict[str, str]


class RanTask(BaseModel):
    """A task with its result and the model that made it, under JARVIS's own names."""

    task: dict[str, Any]
    result: Annotated[Any, Field(alias="inference result")]
    choice: Annotated[dict[str, str] | Literal[""], Field(alias="choose model result")]


_BODY = declared(JarvisRequest)


def _answers(model: Any) -> dict[int | str, dict[str, Any]]:
    """What a route answers, for its description; it is sent as it was made."""
    return {200: {"model": model}}


@router.post("/tasks", openapi_extra=_BODY, responses=_answers(list[PlannedTask] | Said))
async def tasks(request: Request) -> Any:
    """The plan, without running it."""
    conversation = await _conversation(request)
    planned = await media.attended(request, backend(request).controller.plan(conversation))
    if isinstance(planned, Reply):
        return {"message": _tagless(planned.text)}
    return planned.wire()


@router.post("/results", openapi_extra=_BODY, responses=_answers(Said | dict[str, RanTask]))
async def results(request: Request) -> Any:
    """Every task with its result and the model that made it, without an answer in words."""
    done = await _run(request)
    if not done.outcomes:
        return {"message": _tagless(done.answer)}
    told = {str(outcome.id): _result(outcome, done.outcomes) for outcome in done.outcomes}
    return _signed(told, Address(signer=address(request).signer))


@router.post("/hugginggpt", openapi_extra=_BODY)
async def hugginggpt(request: Request) -> Said:
    """The answer in words, which names the files made."""
    answer = (await _run(request)).answer
    return Said(message=_tagless(pathed(answer, Address(signer=address(request).signer))))


def _signed(value: Any, where: Address) -> Any:
    """JSON with its paths of files as they can be opened: on a server with keys they are signed."""
    if isinstance(value, str):
        return where.of(value)
    if isinstance(value, list):
        return [_signed(item, where) for item in value]
    return {name: _signed(item, where) for name, item in value.items()} if isinstance(value, dict) else value


def _tagless(message: str) -> str:
    """The message without HTML tags: HuggingGPT's web client shows it as HTML, whatever a model wrote."""
    return _TAG.sub("&lt;", message)


async def _conversation(request: Request) -> Conversation:
    body = await read(request, JarvisRequest)
    settings = backend(request).controller.settings
    if not settings.allow_client_llm and (body.api_key or body.api_type or body.api_endpoint):
        raise ForbiddenError(
            "This server does not take api_key, api_type or api_endpoint from clients; leave them out, "
            "or set allow_client_llm in its settings."
        )
    if body.messages[-1].role != "user" or not body.messages[-1].content.strip():
        raise RequestError(
            "The last message must be the user's request, in words; it is empty or of another role."
        )
    return Conversation(messages=tuple(body.messages[-MAX_MESSAGES:]))


async def _run(request: Request) -> RunDone:
    """The end of a run, which is cancelled where its client goes away."""
    conversation = await _conversation(request)
    here = backend(request)
    host = request.headers.get("host", "")
    events = here.recorder.run(here.controller, conversation, host, request.url.path.strip("/"))
    return await media.attended(request, media.ended(events))


def _result(outcome: Outcome, outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """One task as JARVIS told it."""
    known = {other.id: other for other in outcomes}
    args = {name: _resolved(outcome.task, name, value, known) for name, value in outcome.args.items()}
    dep = list(dict.fromkeys(n for value in outcome.args.values() for n in reference.find(value))) or [-1]
    choice = outcome.choice
    return {
        "task": {"task": outcome.task, "id": outcome.id, "dep": dep, "args": args},
        "inference result": _inference(outcome),
        "choose model result": {"id": choice.model, "reason": choice.reason} if choice else "",
    }


def _resolved(task: str, name: str, value: str, known: dict[int, Outcome]) -> str:
    """An argument with its references replaced by what they refer to: a text or a path."""
    argument = TASKS[task].argument(name)
    modality = argument.modality if argument else Modality.TEXT

    def shown(task_id: int) -> str:
        outcome = known.get(task_id)
        if outcome is None or outcome.status is not Status.DONE:
            return reference.tag(task_id)
        if modality is Modality.TEXT:
            return outcome.text or ""
        return next((a.path for a in outcome.artifacts if a.modality is modality), reference.tag(task_id))

    return reference.substitute(value, shown)


def _inference(outcome: Outcome) -> Any:
    if outcome.status is not Status.DONE:
        return {
            "error": {"message": outcome.error.message if outcome.error else "The task did not end well."}
        }
    if outcome.task in _TEXT_TASKS:
        return {"response": outcome.text or ""}
    found: dict[str, Any] = {f"generated {a.modality}": a.path for a in outcome.artifacts}
    if outcome.task == "automatic-speech-recognition":
        found["text"] = outcome.text or ""
    if outcome.data is not None and (outcome.artifacts or not isinstance(outcome.data, list)):
        found["predicted"] = outcome.data
    elif outcome.data is not None and not found and "image-to-text" not in outcome.task:
        return outcome.data  # classifications are a bare list of labels and scores
    if outcome.text is not None and not outcome.artifacts:
        found["generated text"] = outcome.text
    return found
