"""Conversations: the messages of a client as the controller takes them, with their files."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from fastapi import Request

from controller.api.address import address
from controller.api.body import backend, recent
from controller.api.openai import documents, links
from controller.api.openai.parts import MOST_FILES, Content, count, files, words
from controller.errors import RequestError
from controller.request import MAX_CHARACTERS, MAX_MESSAGES, Attachment, Message
from controller.request import Request as Conversation

_Role = Literal["system", "user", "assistant"]
_ROLES: dict[str, _Role] = {"system": "system", "developer": "system", "assistant": "assistant"}


@dataclass(frozen=True, slots=True)
class Turn:
    """One message of a client: its role, its content, and the field it stands in."""

    role: str
    content: Content
    param: str = "messages"


async def conversation(request: Request, turns: Sequence[Turn]) -> Conversation:
    """What the controller is asked: the last message is the request, with its files attached.

    Files of earlier messages are named in their words by their paths, so that "make it larger" finds them.
    System and developer messages are notes of the client: an LLM reads them, rules pass them over. Documents
    that a chat page wrote around the request go along as a file.

    Raises:
        RequestError: no message of the user comes last, one is too long, or it brings too many files.
        MediaError: a file is of a kind that is not taken.

    """
    asked, before = _parted(turns)
    base = address(request).base
    if (number := count(asked.content)) > MOST_FILES:
        raise RequestError(
            f"The request brings {number:,} files, and {MOST_FILES} are taken; send fewer.", asked.param
        )
    attached = await files(request, asked.content, asked.param)
    room = MOST_FILES - len(attached)
    context: list[Message] = []
    for turn in reversed(before[-MAX_MESSAGES + 1 :]):
        text = links.unlinked(words(turn.content), base)
        if turn.role == "user" and room > 0:
            found = await files(request, turn.content, turn.param, room)
            room -= len(found)
            text = "\n".join([*([text] if text else []), *(item.path for item in found)])
        if text:
            context.append(Message(role=_ROLES.get(turn.role, "user"), content=_bounded(text, turn)))
    text, brought = documents.parted(links.unlinked(words(asked.content), base))
    if brought:
        stored = await recent(request).keep(backend(request), brought.encode(), "documents.txt")
        attached.append(Attachment(path=stored.path, modality=stored.modality))
    if not text.strip() and not attached:
        raise RequestError("The last message is empty; ask for something in words.", asked.param)
    last = Message(role="user", content=_bounded(text, asked))
    return Conversation(messages=(*reversed(context), last), attachments=tuple(attached))


def _parted(turns: Sequence[Turn]) -> tuple[Turn, list[Turn]]:
    """The request, and what came before it; system messages behind it count among these."""
    place = next((n for n in reversed(range(len(turns))) if turns[n].role not in _NOTES), None)
    if place is None or turns[place].role != "user":
        param = turns[place].param if place is not None else "messages"
        raise RequestError("The last message must be the user's request.", param)
    before = [turn for number, turn in enumerate(turns) if number != place]
    return turns[place], [turn for turn in before if turn.role in ("user", *_ROLES)]


_NOTES = ("system", "developer")


def _bounded(text: str, turn: Turn) -> str:
    if len(text) > MAX_CHARACTERS:
        raise RequestError(
            f"A message has {len(text):,} characters, and {MAX_CHARACTERS:,} are taken; send it as a file.",
            turn.param,
        )
    return text


def spoken(asked: Conversation) -> list[str]:
    """The words of all messages, for counting."""
    return [message.content for message in asked.messages]


def of_kind(attached: Sequence[Attachment], modality: str) -> list[str]:
    """The paths of the files of one modality."""
    return [item.path for item in attached if item.modality == modality]
