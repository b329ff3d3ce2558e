"""The conversation before a message, which doors give to experts that talk."""

from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from deployments.errors import InputError
from deployments.result import Input

Chat = list[dict[str, str]]
"""Messages as chat templates and LLMs take them: ``role`` and ``content``."""

_ROLES = {"system": "Instructions", "user": "User", "assistant": "Assistant"}


class _Turn(BaseModel):
    model_config = ConfigDict(extra="forbid")

    role: str
    content: str


_TURNS = TypeAdapter(list[_Turn])


def chat_of(item: Input, text: str) -> Chat:
    """The conversation that an input brings under ``history``, and its own text as the last message.

    Turns of one role are joined, so that user and assistant take turns, as strict templates want it.

    Raises:
        InputError: the history is none.

    """
    said = item.text("history")
    try:
        turns = _TURNS.validate_json(said) if said else []
    except ValidationError:
        turns = [_Turn(role="", content="")]
    if any(turn.role not in _ROLES for turn in turns):
        raise InputError(
            "The history must be JSON: a list of messages with role (system, user, assistant) and content."
        )
    chat: Chat = []
    for turn in (*turns, _Turn(role="user", content=text)):
        if chat and chat[-1]["role"] == turn.role:
            chat[-1]["content"] += f"\n\n{turn.content}"
        else:
            chat.append({"role": turn.role, "content": turn.content})
    return chat


def folded(chat: Chat) -> Chat:
    """The conversation without system messages: their words go before the next message of the user."""
    notes: list[str] = []
    found: Chat = []
    for turn in chat:
        if turn["role"] == "system":
            notes.append(turn["content"])
            continue
        words = turn["content"]
        if turn["role"] == "user" and notes:
            words = "\n\n".join([*notes, words])
            notes = []
        if found and found[-1]["role"] == turn["role"]:
            found[-1]["content"] += f"\n\n{words}"
        else:
            found.append({"role": turn["role"], "content": words})
    return found


def transcript(chat: Sequence[dict[str, str]]) -> str:
    """The conversation as a text that goes on with an answer, for models that know no chats."""
    if len(chat) == 1:
        return chat[0]["content"]
    told = [f"{_ROLES[turn['role']]}: {turn['content']}" for turn in chat]
    return "\n\n".join([*told, "Assistant:"])
