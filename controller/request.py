"""Requests: a conversation and the files it brings along."""

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from controller.signing import unsigned
from model_catalog.tasks import Modality

MAX_MESSAGES = 1_000
"""The most messages of a conversation: 200 turns are 400 of them."""

MAX_CHARACTERS = 200_000
"""The longest message, in characters."""


class Message(BaseModel):
    """One turn of a conversation; addresses of files in its words are without their signatures."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    role: Literal["system", "user", "assistant"]
    content: Annotated[str, Field(max_length=MAX_CHARACTERS), AfterValidator(unsigned)]


class Attachment(BaseModel):
    """A stored file that comes with a request: its path on this server, such as ``/images/….png``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str
    modality: Modality


class Request(BaseModel):
    """What a person asks for: the last message is the request, the earlier ones are its context.

    Attributes:
        messages: the conversation; it may be empty where there is a plan.
        attachments: the files that come with it.
        plan: a plan of the client's own, in wire form; it is run as it is, with no brain before or after it.
            A task of it that names a ``model`` is run by that model alone.

    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    messages: Annotated[tuple[Message, ...], Field(max_length=MAX_MESSAGES)] = ()
    attachments: tuple[Attachment, ...] = ()
    plan: tuple[dict[str, Any], ...] | None = None

    @model_validator(mode="after")
    def _asks(self) -> Self:
        if not self.messages and self.plan is None:
            raise ValueError("it needs a message or a plan")
        return self

    @property
    def text(self) -> str:
        """The words of the last message."""
        return self.messages[-1].content if self.messages else ""

    @property
    def context(self) -> tuple[Message, ...]:
        """The earlier messages."""
        return self.messages[:-1]
