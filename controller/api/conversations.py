"""Conversations that are kept here, so that a client sends its new message alone.

Shapes as in OpenAI's Conversations; ``GET /v1/conversations`` lists them, which OpenAI's does not.
"""

import secrets
import time
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field

from controller.api import past
from controller.api.body import backend, declared, read
from controller.api.openai.schema import ERRORS
from controller.identity import caller
from controller.request import MAX_CHARACTERS, MAX_MESSAGES, Message
from deployments.history.records import Talk, Turn

router = APIRouter(prefix="/v1/conversations", tags=["conversations"], responses=ERRORS)

CONTEXT_MESSAGES = 400
"""How many earlier messages go along with a new one: 200 turns."""

CONTEXT_CHARACTERS = 400_000
"""How long they may be together."""

_ITEMS = 20  # OpenAI's limit of what a conversation begins with
_Notes = Annotated[dict[str, Annotated[str, Field(max_length=512)]], Field(max_length=16)]


class Said(BaseModel):
    """A piece of a message, in words."""

    model_config = ConfigDict(extra="ignore")

    type: Literal["input_text", "output_text", "text"]
    text: Annotated[str, Field(max_length=MAX_CHARACTERS)]


class Item(BaseModel):
    """A message that a conversation begins with."""

    model_config = ConfigDict(extra="ignore")

    type: Literal["message"] = "message"
    role: Literal["system", "developer", "user", "assistant"]
    content: Annotated[str, Field(max_length=MAX_CHARACTERS)] | list[Said]

    @property
    def message(self) -> Message:
        """The message in this server's own words."""
        content = self.content
        words = content if isinstance(content, str) else "\n".join(piece.text for piece in content)
        role = "system" if self.role == "developer" else self.role
        return Message(role=role, content=words[:MAX_CHARACTERS])


class ConversationBody(BaseModel):
    """What a conversation begins with: messages from elsewhere, and notes of the client's own."""

    model_config = ConfigDict(extra="forbid")

    items: Annotated[list[Item], Field(max_length=_ITEMS)] = []
    metadata: _Notes = {}


class ConversationObject(BaseModel):
    """A conversation; ``created_at`` in whole seconds since the epoch."""

    id: str
    object: Literal["conversation"] = "conversation"
    created_at: int
    metadata: dict[str, str]


class ConversationList(BaseModel):
    """Conversations, the one that began last first."""

    object: Literal["list"] = "list"
    data: list[ConversationObject]
    has_more: bool
    first_id: str | None = None
    last_id: str | None = None


class ConversationDeleted(BaseModel):
    """A conversation of which nothing is kept any more."""

    id: str
    object: Literal["conversation.deleted"] = "conversation.deleted"
    deleted: Literal[True] = True


class MessageItem(BaseModel):
    """A message of a conversation, the run in which it was said, and the files that came with it."""

    id: str
    type: Literal["message"] = "message"
    status: Literal["completed"] = "completed"
    role: str
    content: list[dict[str, Any]]
    run: str | None
    files: list[str]


class MessageList(BaseModel):
    """The latest messages of a conversation, in their order."""

    object: Literal["list"] = "list"
    data: list[MessageItem]
    has_more: bool
    first_id: str | None = None
    last_id: str | None = None


@router.post("", openapi_extra=declared(ConversationBody))
async def create(request: Request) -> ConversationObject:
    """Begin a conversation."""
    body = await read(request, ConversationBody)
    now = time.time()
    talk = Talk(f"conv_{secrets.token_hex(16)}", caller().owner, now, body.metadata)
    messages = [item.message for item in body.items]
    turns = [Turn(f"msg_{secrets.token_hex(16)}", message.role, message.content, now) for message in messages]
    await past.history(backend(request)).converse(talk, turns)
    return _told(talk)


@router.get("")
async def listed(
    request: Request,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    after: Annotated[str | None, Query(max_length=100)] = None,
) -> ConversationList:
    """The caller's conversations; behind that of id ``after`` where it is given."""
    talks = await past.history(backend(request)).talks(past.whose(), limit + 1, after)
    data = [_told(talk) for talk in talks[:limit]]
    return ConversationList(data=data, has_more=len(talks) > limit, **_ends(data))


@router.get("/{conversation}")
async def get(request: Request, conversation: str) -> ConversationObject:
    """A conversation."""
    return _told(await past.talk(request, conversation))


@router.get("/{conversation}/items")
async def items(
    request: Request, conversation: str, limit: Annotated[int, Query(ge=1, le=MAX_MESSAGES)] = 100
) -> MessageList:
    """The latest messages of a conversation, those without an answer among them."""
    await past.talk(request, conversation)
    turns = await past.history(backend(request)).turns(conversation, limit + 1)
    data = [_item(turn) for turn in turns[-limit:]]
    return MessageList(data=data, has_more=len(turns) > limit, **_ends(data))


@router.delete("/{conversation}")
async def delete(request: Request, conversation: str) -> ConversationDeleted:
    """Forget a conversation with its messages, its runs and the files that they made."""
    await past.talk(request, conversation)
    known = past.history(backend(request))
    for run in past.runs(request).part_of(conversation):
        await run.cancel()
        past.runs(request).forget(run)
    await past.remove_files(request, await known.made_in(conversation))
    await known.forget_conversation(conversation)
    return ConversationDeleted(id=conversation)


async def context(request: Request, conversation: str) -> tuple[Message, ...]:
    """What was said before in a conversation of the caller's, as far back as goes along.

    Raises:
        UnknownConversationError: there is none.
        HistoryError: it cannot be looked up now.

    """
    await past.talk(request, conversation)
    turns = await past.history(backend(request)).turns(conversation, CONTEXT_MESSAGES, whole=False)
    kept: list[Message] = []
    room = CONTEXT_CHARACTERS
    for turn in reversed(turns):
        message = _message(turn)
        room -= len(message.content)
        if room < 0:
            break
        kept.append(message)
    return tuple(kept[::-1])


def _message(turn: Turn) -> Message:
    """A message with the paths of the files that came with it, by which later ones can name them."""
    files = f" ({', '.join(turn.files)})" if turn.files else ""
    content = turn.content[: MAX_CHARACTERS - len(files)] + files
    return Message.model_validate({"role": turn.role, "content": content})


def _told(talk: Talk) -> ConversationObject:
    return ConversationObject(id=talk.id, created_at=int(talk.created), metadata=dict(talk.notes))


def _item(turn: Turn) -> MessageItem:
    kind = "output_text" if turn.role == "assistant" else "input_text"
    piece: dict[str, Any] = {"type": kind, "text": turn.content}
    if kind == "output_text":
        piece["annotations"] = []
    return MessageItem(id=turn.id, role=turn.role, content=[piece], run=turn.run, files=list(turn.files))


def _ends(data: list[Any]) -> dict[str, str]:
    return {"first_id": data[0].id, "last_id": data[-1].id} if data else {}
